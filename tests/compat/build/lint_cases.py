"""Dockerfiles with something to remark; what `docker build --check` finds in them is in golden/lint.json."""

from __future__ import annotations

IGNORED = "*.md\nsecret\n!keep.md\n"
"""`.dockerignore` of all cases; the context has a.txt, keep.md, other.md and secret."""

LINTS = {
    "clean": "FROM busybox AS a\nRUN true\nCMD [\"x\"]\n",
    "stage-name-casing": "FROM busybox AS Base\nFROM Base AS other\n",
    "from-as-casing": "FROM busybox as one\nfrom busybox AS two\nFROM busybox As three\nfrom busybox as four\n",
    "no-empty-continuation": "FROM busybox\nRUN echo a && \\\n\n  echo b\nRUN echo a \\\n# note\n  && echo b\n",
    "consistent-casing": "FROM busybox\nRun echo a\nrun echo b\nENV a=b\nWorkdir /x\n",
    "consistent-casing-lower": "from busybox\nrun echo a\nENV a=b\nlabel x=y\n",
    "duplicate-stage": "FROM busybox AS b\nFROM busybox AS b\nFROM busybox AS c\nFROM busybox AS B\n",
    "reserved-stage": "FROM busybox AS scratch\nRUN true\nFROM busybox AS context\n",
    "json-args": "FROM busybox\nENTRYPOINT top\nCMD id\n",
    "json-args-shell": 'FROM busybox\nSHELL ["/bin/sh", "-c"]\nENTRYPOINT top\nCMD id\n',
    "json-args-stages": "FROM busybox AS a\nCMD id\nFROM a\nCMD [\"x\"]\n",
    "maintainer": "FROM busybox\nMAINTAINER me\n",
    "undefined-arg-from": "ARG tag=latest\nFROM busybox:${tagg:-latest} AS a\nFROM busybox:${VERSION:-latest}\n",
    "undefined-arg-platform": "FROM --platform=$BUILDPLATFORMS busybox\n",
    "workdir": "FROM scratch\nWORKDIR app/\nWORKDIR src\n",
    "workdir-absolute-first": "FROM busybox\nWORKDIR /app\nWORKDIR src\n",
    "workdir-stages": "FROM busybox AS a\nWORKDIR /x\nFROM a\nWORKDIR y\nFROM busybox\nWORKDIR z\n",
    "undefined-var": "FROM busybox AS a\nARG foo\nCOPY $foo .\nCOPY $bar .\nENV x=$fo y=$PATH z=$PAHT\n"
                     "LABEL l=${none:-d} k=$HOME\nUSER $NOBODY\nRUN echo $whatever\nFROM a\n"
                     "ENV q=$x w=$y r=$rr\n",
    "undefined-var-volume": "FROM busybox\nENV x=1\nVOLUME $V\n",
    "undefined-var-expose": "FROM busybox\nEXPOSE $PORT\nWORKDIR /a$W\nADD $A /x\nCOPY a.txt /$T\n",
    "undefined-var-none": "FROM busybox\nONBUILD ENV a=$b\nHEALTHCHECK CMD $x\nENTRYPOINT [\"$x\"]\n"
                          "ADD --chown=$u a.txt /\nCOPY --chmod=$m --from=busybox /etc /etc\nMAINTAINER $who\n",
    "undefined-var-arg": "ARG g=1\nFROM busybox\nENV a=$g\nARG g\nENV b=$g\nARG h=$i\n"
                         "ENV p=$http_proxy t=$TARGETARCH\n",
    "shell-inherited": 'FROM busybox AS a\nSHELL ["/bin/sh", "-c"]\nFROM a\nCMD id\n',
    "multiple": 'FROM busybox AS one\nCMD ["a"]\nCMD ["b"]\nENTRYPOINT ["a"]\nENTRYPOINT ["b"]\nHEALTHCHECK CMD a\n'
                "HEALTHCHECK NONE\nFROM busybox\nCMD [\"a\"]\nCMD [\"b\"]\nCMD [\"c\"]\n",
    "legacy-pairs": "FROM busybox\nENV a b\nLABEL c d e\nENV f=g\n",
    "redundant-platform": "FROM --platform=$TARGETPLATFORM busybox\nFROM --platform=${TARGETPLATFORM} busybox\n"
                          "FROM --platform=$BUILDPLATFORM busybox\n",
    "secrets": "FROM busybox\nARG DB_PASSWORD TOKEN=x public_key key\n"
               "ENV apikey=1 git_secret=$TOKEN PASSWORD_FILE=f passwd=2 monkey=1 API_KEY_ID=3\n"
               "ENV auth x\nARG AWS_SECRET_ACCESS_KEY\nENV tokens=1 pword=3 credential=2 credentials=4\n",
    "invalid-default": "ARG TAG\nARG BASE\nFROM busybox:${TAG}\nFROM $BASE\nFROM busybox:${TAG:-latest}\n",
    "invalid-default-ok": "ARG TAG=latest\nARG OTHER\nFROM busybox:${TAG}${OTHER:-}\n",
    "platform-constant": "FROM --platform=linux/amd64 busybox AS build\nFROM --platform=linux/amd64 busybox AS amd64\n"
                         "FROM --platform=linux/amd64 busybox AS build-linux-amd64\n"
                         "FROM --platform=linux/amd64 busybox\nFROM --platform=linux/amd64 busybox AS linux-x\n",
    "copy-ignored": "# check=experimental=CopyIgnoredFile\nFROM busybox\nCOPY other.md keep.md /\nADD secret /\n"
                    "COPY a.txt /\nCOPY --from=busybox other.md /\n"
                    "COPY ./other.md /x\n",
    "copy-ignored-off": "FROM busybox\nCOPY other.md /\n",
    "descriptions": "# check=experimental=all\n# wrong: says something\nARG foo=bar\n\n# base is the base\n"
                    "FROM busybox AS base\n# A note.\nARG x\n# final does\n# many things\nFROM base AS final\n"
                    "#no space\nARG y\n# stage z\nFROM busybox AS zz\n# apart\n\nARG w\n"
                    "# a b is more\nARG a b\n# no\nARG c d\n"
                    "# of none\nFROM busybox\n# of run\nRUN true\n# x\n#\nARG x\n",
    "descriptions-off": "# wrong\nFROM busybox AS base\n",
    "expose": "FROM busybox\nEXPOSE 80/TCP 81/tcp 82/Udp\nEXPOSE 127.0.0.1:80:80 5000:5000 90-91 [::1]:80:80/tcp\n",
    "skip": "# check=skip=MaintainerDeprecated,JSONArgsRecommended\nFROM busybox\nMAINTAINER me\nCMD id\nENV a b\n",
    "skip-all": "# check=skip=all\nFROM busybox as B\nMAINTAINER me\n",
    "error": "# check=error=true;skip=JSONArgsRecommended\nFROM busybox\nMAINTAINER me\nCMD id\n",
    "unused-stage": "FROM busybox AS unused\nMAINTAINER me\nENV a=$none\nFROM busybox\nRUN true\n",
    "continued": "FROM busybox\nENV a=b \\\n  c=$none \\\n  PASSWORD=x\nLABEL x=y \\\n\n  z=w\n",
}  # fmt: skip
