"""The corpus: small Dockerfiles that between them use every instruction and form, all on busybox or scratch.

BuildKit's results are kept in `goldens.json`; `python -m tests.compat.build.record` makes that file again.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field

PORT = 8099
"""Of the file server that each engine's own network namespace has."""
GIT_PORT = 8098
GIT = f"git://127.0.0.1:{GIT_PORT}"
COMMIT = "bfdbb43a6623c174029eca94422e9bb98c101850"
"""What tag v1 of repo.git is (origins.py): all dates and names in it are fixed."""


@dataclass(frozen=True)
class File:
    """A file of a context; `link` makes it a symbolic link."""

    data: bytes = b""
    mode: int = 0o644
    link: str = ""


def text(content: str, mode: int = 0o644) -> File:
    return File(content.encode(), mode)


def archive(compression: str = "", **members: str) -> File:
    """A tar with some files (`dir__name` stands for `dir/name`), owned by 1:2; the same bytes every time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size, entry.mode, entry.mtime, entry.uid, entry.gid = len(content), 0o640, 1_000_000_000, 1, 2
            tar.addfile(entry, io.BytesIO(content.encode()))
    return File(_PACKERS[compression](buffer.getvalue()))


_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, "gz": lambda data: gzip.compress(data, mtime=0), "bz2": bz2.compress, "xz": lzma.compress,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """`flags` go to `build`; `ours`: only our own client has them. `{context}` in them is the context's path.

    `remote` is built instead of the files.
    """

    name: str
    dockerfile: str
    files: dict[str, File] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    ours: bool = False
    fails: bool = False
    remote: str = ""


TREE = {
    "a.txt": text("a\n"),
    "b.txt": text("b\n", 0o600),
    "run.sh": text("#!/bin/sh\necho run\n", 0o755),
    "link": File(link="a.txt"),
    "dir/one": text("1\n"),
    "dir/two.md": text("2\n"),
    "dir/sub/three": text("3\n"),
    "dir/sub/four.md": text("4\n"),
    "other/five": text("5\n"),
}

_AB = "FROM busybox AS a\nRUN echo from-a > /a && ln -s /a /la && mkdir -p /d/e && echo e > /d/e/f && chown 33:33 /d/e/f\n"

CASES: tuple[Case, ...] = (
    # FROM
    Case("from-only", "FROM busybox\n"),
    Case("from-lower-case", "from busybox\nrun echo a > /a\n"),
    Case("from-as", "FROM busybox AS Base\nRUN echo a > /a\nFROM base\nRUN cat /a > /b\n"),
    Case("from-scratch", "FROM scratch\nCOPY a.txt /a\nCMD [\"/a\"]\n", TREE),
    Case("from-arg", "ARG base=busybox\nARG tag\nFROM ${base}${tag:-:latest}\nARG base\nRUN echo \"$base\" > /a\n"),
    Case("from-arg-given", "ARG base=nonesuch\nFROM $base\nRUN echo x > /a\n", flags=("--build-arg", "base=busybox")),
    Case("from-platform", "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETPLATFORM\nARG TARGETOS\nARG TARGETARCH\n"
         "ARG BUILDPLATFORM\nRUN echo $TARGETPLATFORM $TARGETOS $TARGETARCH $BUILDPLATFORM > /a\n"),
    Case("from-unused-stage", "FROM busybox AS no\nRUN false\nFROM busybox\nRUN true > /a\n"),
    Case("from-target", "FROM busybox AS one\nRUN echo 1 > /1\nFROM one AS two\nRUN echo 2 > /2\n",
         flags=("--target", "one")),
    Case("from-inherits", "FROM busybox AS a\nENV A=1\nLABEL l=1\nUSER 33\nWORKDIR /w\nEXPOSE 80\nVOLUME /v\nCMD [\"x\"]\n"
         "STOPSIGNAL INT\nFROM a\nENV B=2\nLABEL m=2\n"),
    # RUN
    Case("run-shell", "FROM busybox\nRUN echo one \\\n  two && \\\n# a comment\n  echo three > /x\n"),
    Case("run-exec", 'FROM busybox\nRUN ["/bin/sh", "-c", "echo $0 \'x\' > /x", "name"]\n'),
    Case("run-heredoc", "FROM busybox\nRUN <<EOF\necho one > /1\necho $HOME > /2\nEOF\n"),
    Case("run-heredoc-quoted", "FROM busybox\nENV A=b\nRUN <<'EOF'\necho \"$A\" > /1\nEOF\n"),
    Case("run-heredoc-chomp", "FROM busybox\nRUN <<-EOF\n\techo one > /1\n\tEOF\n"),
    Case("run-heredoc-interpreter", "FROM busybox\nRUN <<EOF\n#!/bin/busybox sh\necho \"$0\" | wc -c > /1\nid -u >> /1\nEOF\n"),
    Case("run-heredoc-command", "FROM busybox\nRUN cat <<EOF > /1 && cat <<FIN >> /1\none $HOME\nEOF\ntwo\nFIN\n"),
    Case("run-heredoc-shell", "FROM busybox\nRUN sh -e <<EOF\necho one > /1\nEOF\n"),
    Case("run-environment", "FROM busybox\nENV A=1\nARG B=2\nARG C\nRUN env | grep -v HOSTNAME | sort > /env\n",
         flags=("--build-arg", "C=3")),
    Case("run-user-home", "FROM busybox\nUSER www-data\nRUN env | grep HOME > /tmp/env; id > /tmp/id\n"),
    Case("run-user-numbers", "FROM busybox\nUSER 7:8\nRUN id > /tmp/id\nUSER nobody:wheel\nRUN id > /tmp/id2\n"),
    Case("run-removes", "FROM busybox\nRUN echo a > /tmp/a && mkdir /d && echo b > /d/b\nRUN rm /tmp/a && rm -r /d\n"
         "RUN mkdir /d && echo c > /d/c\n"),
    Case("run-no-change", "FROM busybox\nRUN true\n"),
    Case("run-kinds", "FROM busybox\nRUN ln -s /bin/sh /ln && mkfifo /fifo && mknod /dev-null c 1 3 && "
         "echo a > /a && ln /a /b && chmod 4755 /a && mkdir -m 1777 /t\n"),
    Case("run-mount-bind", "FROM busybox\nRUN --mount=type=bind,target=/ctx ls -l /ctx/dir | wc -l > /n && cat /ctx/a.txt > /a\n"
         "RUN --mount=source=dir,target=/in,rw echo x > /in/x && cat /in/x /in/one > /y\n", TREE),
    Case("run-mount-bind-from", _AB + "FROM busybox\nRUN --mount=type=bind,from=a,source=/d,target=/mnt/d cat /mnt/d/e/f > /x\n"
         "RUN --mount=from=busybox,target=/other ls /other/bin | wc -l > /y && touch /y\n"),
    Case("run-mount-cache", "FROM busybox\nRUN --mount=type=cache,target=/c,id=golden-cache echo hello > /c/x\n"
         "RUN --mount=type=cache,dst=/c,id=golden-cache,sharing=locked cat /c/x > /x && ls -ld /c | cut -c1-10 > /mode\n"),
    Case("run-mount-cache-options", _AB + "FROM busybox\n"
         "RUN --mount=type=cache,target=/c,id=golden-opts,uid=33,gid=34,mode=0700 stat -c '%a %u %g' /c > /s\n"
         "RUN --mount=type=cache,target=/c,id=golden-from,from=a,source=/d cat /c/e/f > /t\n"
         "RUN --mount=type=cache,target=/c,id=golden-opts,ro touch /c/x || echo read-only > /u\n"),
    Case("run-mount-tmpfs", "FROM busybox\nRUN --mount=type=tmpfs,target=/t,size=1m echo x > /t/x && grep ' /t ' /proc/mounts | cut -d' ' -f3 > /x\n"),
    Case("run-mount-secret", "FROM busybox\nRUN --mount=type=secret,id=s cat /run/secrets/s > /a && stat -c '%a %u' /run/secrets/s > /b\n"
         "RUN --mount=type=secret,id=s,target=/x/y,mode=0444,uid=5 stat -c '%a %u' /x/y > /c\n"
         "RUN --mount=type=secret,id=s,env=TOKEN echo ${#TOKEN} > /d\n"
         "RUN --mount=type=secret,id=missing test ! -e /run/secrets/missing\n", {"secret": text("hush")},
         flags=("--secret", "id=s,src={context}/secret"), ours=True),
    Case("run-network-none", "FROM busybox\nRUN --network=none ls /sys/class/net > /n\n"),
    Case("says", "FROM busybox\nRUN echo one\nRUN echo two >&2\nENV A=b\nRUN for i in 1 2 3; do echo $i; done\nCMD id\n"),
    Case("run-stdin", "FROM busybox\nRUN cat > /x; echo done >> /x\n"),
    Case("run-output-in-etc", "FROM busybox\nRUN echo '1.2.3.4 x' > /etc/hosts.mine; echo a > /etc/hosts || true\n"),
    # CMD, ENTRYPOINT, SHELL
    Case("cmd-shell", "FROM busybox\nCMD echo $HOME\n"),
    Case("cmd-exec", 'FROM busybox\nCMD ["echo", "a b", "$HOME"]\n'),
    Case("cmd-empty", "FROM busybox\nCMD []\n"),
    Case("cmd-not-json", "FROM busybox\nCMD ['echo', 'a']\n"),
    Case("entrypoint-exec", 'FROM busybox\nENTRYPOINT ["sh", "-c"]\nCMD ["id"]\n'),
    Case("entrypoint-shell", "FROM busybox\nENTRYPOINT exec top -b\n"),
    Case("entrypoint-resets-cmd", 'FROM busybox\nENTRYPOINT ["id"]\n'),
    Case("cmd-then-entrypoint", 'FROM busybox\nCMD ["a"]\nENTRYPOINT ["id"]\n'),
    Case("shell", 'FROM busybox\nSHELL ["/bin/sh", "-e", "-c"]\nRUN echo $- | grep -c e > /x\nCMD id\nENTRYPOINT top\n'),
    # metadata
    Case("label", "FROM busybox\nLABEL a=1 b=\"two words\" c='$x' \"d e\"=f\nLABEL a=2\nENV v=9\nLABEL x=$v y=\"$v\"\n",
         flags=("--label", "given=yes", "--label", "a=3")),
    Case("label-old-form", "FROM busybox\nLABEL key the rest of the line\nLABEL multi=\"a\\\nb\"\n"),
    Case("maintainer", "FROM busybox\nMAINTAINER Jo Doe <jo@example.org>\n"),
    Case("expose", "FROM busybox\nARG P=90\nEXPOSE 80 443/tcp 53/udp 8000-8002 $P\nEXPOSE 80/udp\n"),
    Case("env", "FROM busybox\nENV A=1 B=\"two words\" C=t\\ w\nENV D old form   here\nENV A=2 E=$A F=${B:-x} G='$A' PATH=$PATH:/x\n"),
    Case("env-forms", "FROM busybox\nENV foo=bar/baz.tar.gz empty=\nENV a=${foo:-d} b=${none:-d} c=${foo:+s} d=${none:+s} "
         "e=${empty-d} f=${empty:-d} g=${foo#*/} h=${foo##*a} i=${foo%.*} j=${foo%%.*} k=${foo/a/A} l=${foo//a/A} m=\\$foo "
         "n=${none} o=${empty+x}\n"),
    Case("volume", 'FROM busybox\nVOLUME /a /b\nVOLUME ["/c d", "/e"]\nENV x=/f\nVOLUME $x\n'),
    Case("volume-keeps", "FROM busybox\nRUN mkdir /v && echo a > /v/a\nVOLUME /v\nRUN echo b > /v/b\n"),
    Case("user", "FROM busybox\nARG U=nobody\nUSER $U:wheel\nUSER root\nUSER 1000\n"),
    Case("workdir", "FROM busybox\nWORKDIR /a\nWORKDIR b/c\nENV d=/y/z\nWORKDIR $d\nRUN pwd > here\nWORKDIR /\n"),
    Case("workdir-user", "FROM busybox\nUSER 33:33\nWORKDIR /w/x\nRUN pwd > /tmp/here\n"),
    Case("workdir-exists", "FROM busybox\nRUN mkdir -m 700 /w && chown 33 /w\nWORKDIR /w\n"),
    Case("arg-scopes", "ARG outer=1\nFROM busybox AS a\nARG mine=2\nRUN echo \"$outer.$mine\" > /a\nFROM a\nARG outer\nRUN echo \"$outer.$mine\" > /b\n"),
    Case("arg-and-env", "FROM busybox\nARG A=arg\nENV A=${A:-none}\nARG A=again\nARG B=x C=$A\nRUN echo $A $B $C > /a\n",
         flags=("--build-arg", "A=given")),
    Case("arg-proxy", "FROM busybox\nRUN echo $http_proxy > /p\n", flags=("--build-arg", "http_proxy=http://p:1")),
    Case("arg-unset", "FROM busybox\nARG NOPE\nRUN echo ${NOPE-unset} > /a\n"),
    Case("stopsignal", "FROM busybox\nSTOPSIGNAL SIGTERM\nARG s=9\nSTOPSIGNAL $s\n"),
    Case("healthcheck", "FROM busybox\nHEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --start-interval=500ms --retries=4 CMD wget -q x || exit 1\n"),
    Case("healthcheck-exec", 'FROM busybox\nHEALTHCHECK CMD ["true", "x"]\n'),
    Case("healthcheck-none", "FROM busybox\nHEALTHCHECK CMD true\nHEALTHCHECK NONE\n"),
    Case("onbuild", "FROM busybox\nONBUILD RUN echo a > /a\nONBUILD COPY a.txt /\nONBUILD ENV x=y\n"),
    Case("onbuild-stage", "FROM busybox AS base\nONBUILD ARG v=3\nONBUILD RUN echo built $v > /a\nFROM base\nRUN cat /a > /b\n"),
    Case("created-none", "FROM busybox\nCMD [\"a\"]\nENTRYPOINT [\"b\"]\nEXPOSE 1\n"),
    # COPY
    Case("copy-files", "FROM busybox\nCOPY a.txt b.txt run.sh /x/\nCOPY a.txt /renamed\nCOPY link /l\n", TREE),
    Case("copy-directory", "FROM busybox\nCOPY dir /x\nCOPY dir/ /y/\nCOPY . /all/\n", TREE),
    Case("copy-relative", "FROM busybox\nWORKDIR /w\nCOPY a.txt .\nCOPY b.txt sub/\nCOPY dir ./d\nCOPY run.sh ../up\n", TREE),
    Case("copy-wildcards", "FROM busybox\nCOPY *.txt /t/\nCOPY dir/*.md dir/sub/?our.md /m/\nCOPY d*r /e/\nCOPY [ab].txt /s/\nCOPY */sub /ss/\n", TREE),
    Case("copy-json", 'FROM busybox\nCOPY ["a.txt", "sp ace", "/x y/"]\n', {**TREE, "sp ace": text("s")}),
    Case("copy-chown", "FROM busybox\nCOPY --chown=33:34 a.txt /1\nCOPY --chown=www-data dir /n/2\nCOPY --chown=nobody:wheel a.txt /d/3\n"
         "COPY --chown=7 a.txt /4\nARG o=8:9\nCOPY --chown=$o a.txt /5\n", TREE),
    Case("copy-chmod", "FROM busybox\nCOPY --chmod=755 a.txt /1\nCOPY --chmod=0600 dir /2\nARG m=4711\nCOPY --chmod=$m run.sh /3\n", TREE),
    Case("copy-chmod-symbolic", "FROM busybox\nCOPY --chmod=u=rwX,go=rX dir /d\nCOPY --chmod=a+x b.txt /b\nCOPY --chmod=go-r a.txt /a\n", TREE),
    Case("copy-link", "FROM busybox\nCOPY --link a.txt /x/\nCOPY --link --chown=5:6 dir /y/d\nRUN ls /x /y/d > /z\n", TREE),
    Case("copy-link-from", _AB + "FROM busybox\nRUN mkdir -m 700 /dst\nCOPY --link --from=a /d /dst/\nCOPY --link --from=a /a /dst/a\n"),
    Case("copy-exclude", "FROM busybox\nCOPY --exclude=*.md --exclude=sub dir /x\nCOPY --exclude=**/*.md dir /y\nCOPY --exclude=a.txt *.txt /z/\n", TREE),
    Case("copy-heredoc", "FROM busybox\nENV n=world\nCOPY <<EOF /greeting\nhello $n\n\"quoted\" 'single'\nEOF\nCOPY <<'EOF' <<two /d/\nraw $n\nEOF\nsecond\ntwo\n"
         "COPY --chmod=755 --chown=3:4 <<-go.sh /bin2/\n\t#!/bin/sh\n\techo go\n\tgo.sh\n"),
    Case("copy-heredoc-mixed", "FROM busybox\nCOPY a.txt <<x /m/\nextra\nx\n", TREE),
    Case("copy-from-stage", _AB + "FROM busybox\nCOPY --from=a /a /x\nCOPY --from=0 /d /y\nCOPY --from=a /la /l\nCOPY --from=a --chown=1 /d/e/f /g\n"),
    Case("copy-from-image", "FROM scratch\nCOPY --from=busybox /etc/passwd /p\nCOPY --from=busybox:latest /bin/ls /ls\n"),
    Case("copy-onto-directory", "FROM busybox\nRUN mkdir -p /x/one/z && chmod 700 /x && echo old > /x/two.md\nRUN rmdir /x/one/z /x/one\nCOPY dir /x\n", TREE),
    Case("copy-through-link", "FROM busybox\nRUN mkdir /real && ln -s /real /via && ln -s real /rel\nCOPY a.txt /via/\nCOPY dir /rel/d\nCOPY b.txt /via/new/deep/\n", TREE),
    Case("copy-hidden", "FROM busybox\nCOPY . /c/\n", {".hidden": text("h"), "v/.git/x": text("g"), "empty/.keep": text("")}),
    Case("copy-same-name", "FROM busybox\nCOPY a.txt other/five dir/one /\nCOPY dir/sub/three /dir/sub/three\n", TREE),
    # ADD
    Case("add-files", "FROM busybox\nADD a.txt /x/\nADD dir /y/\nADD --chown=2:3 --chmod=640 b.txt /z\n", TREE),
    Case("add-archives", "FROM busybox\nADD a.tar /1/\nADD a.tar.gz /2\nADD a.tar.bz2 a.tar.xz /3/\nADD --chown=9:9 a.tar /4/\nCOPY a.tar /5/\n",
         {"a.tar": archive("", a="tar", d__b="deep"), "a.tar.gz": archive("gz", a="gz"), "a.tar.bz2": archive("bz2", b="bz"), "a.tar.xz": archive("xz", c="xz")}),
    Case("add-not-an-archive", "FROM busybox\nADD broken.gz /x/\nADD plain.tar /y/\n", {"broken.gz": text("\x1f\x8b not"), "plain.tar": text("text")}),
    Case("add-heredoc", "FROM busybox\nADD <<EOF /a\ntext\nEOF\n"),
    Case("add-url", "FROM busybox\nADD http://127.0.0.1:8099/file.txt /a/\nADD http://127.0.0.1:8099/file.txt /renamed\n"
         "ADD --chmod=755 --chown=4:5 http://127.0.0.1:8099/file.txt /b/\n"),
    Case("add-url-checksum", "FROM busybox\nADD --checksum=sha256:{sha256} http://127.0.0.1:8099/file.txt /\n"),
    Case("add-url-archive", "FROM busybox\nADD http://127.0.0.1:8099/a.tar.gz /kept/\nADD --unpack=true http://127.0.0.1:8099/a.tar.gz /unpacked/\n"),
    Case("add-git", "FROM busybox\nADD git://127.0.0.1:8098/repo.git /r\nADD git://127.0.0.1:8098/repo.git#other:sub /s\n"),
    Case("add-git-dir", "FROM busybox\nADD --keep-git-dir=true git://127.0.0.1:8098/repo.git#v1 /r\nRUN test -d /r/.git && rm -rf /r/.git\n"),
    Case("add-git-submodule", "FROM busybox\nADD git://127.0.0.1:8098/super.git /r\nADD git://127.0.0.1:8098/super.git#v2 /t\n"
         "ADD git://127.0.0.1:8098/super.git#master:lib /l\n"),
    Case("add-git-refs", f"FROM busybox\nADD {GIT}/repo.git#{COMMIT} /c\nADD {GIT}/repo.git#refs/heads/other:sub /h\n"
         f"ADD --chown=3:4 --chmod=640 {GIT}/repo.git#refs/tags/v1 /t\nADD --link {GIT}/repo.git#other:/sub /s/\n"),
    Case("context-git", "", remote=f"{GIT}/repo.git"),
    Case("context-git-subdir", "", remote=f"{GIT}/repo.git#other:sub"),
    Case("context-git-commit", "", remote=f"{GIT}/repo.git#{COMMIT}"),
    Case("context-git-file", "", remote=f"{GIT}/repo.git#other", flags=("-f", "sub/../Dockerfile")),
    Case("context-git-submodule", "", remote=f"{GIT}/super.git"),
    Case("context-git-keep", "", remote=f"{GIT}/repo.git", flags=("-f", "keep.Dockerfile", "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")),
    Case("context-archive", "", remote=f"http://127.0.0.1:{PORT}/tree.tar.gz"),
    Case("context-dockerfile", "", remote=f"http://127.0.0.1:{PORT}/Dockerfile"),
    Case("add-link", "FROM busybox\nADD --link a.tar /l/\n", {"a.tar": archive("", a="tar")}),
    Case("add-unpack-off", "FROM busybox\nADD --unpack=false a.tar /l/\n", {"a.tar": archive("", a="tar")}),
    # directives, ignore files, odd forms
    Case("escape", "# escape=`\nFROM busybox\nRUN echo a `\n  b > /x\nENV p=C:\\dir\nCOPY a.txt `\n  /y\n", TREE),
    Case("comments", "# a comment\n\nFROM busybox\n# another\n  # indented\nRUN echo '# not a comment' > /x\nLABEL a=b\n"),
    Case("crlf", "FROM busybox\r\nRUN echo a \\\r\n  b > /x\r\nENV A=b\r\n"),
    Case("indented", "  FROM busybox\n\tRUN echo a > /a\n    ENV A=b\n"),
    Case("ignore", "FROM busybox\nCOPY . /c/\n", {**TREE, ".dockerignore": text("# comment\n*.txt\n!b.txt\ndir/*/th*\n**/*.md\n!dir/two.md\nother/\n")}),
    Case("ignore-all-but", "FROM busybox\nCOPY . /c/\n", {**TREE, ".dockerignore": text("*\n!dir/sub\n")}),
    Case("ignore-own", "FROM busybox\nCOPY . /c/\n", {**TREE, ".dockerignore": text("dir\n"), "x.Dockerfile": text("FROM busybox\nCOPY . /c/\n"),
         "x.Dockerfile.dockerignore": text("other\n*.txt\n")}, flags=("-f", "{context}/x.Dockerfile"), ours=True),
    Case("ignore-dockerfile", "FROM busybox\nCOPY . /c/\n", {**TREE, ".dockerignore": text("Dockerfile\n.dockerignore\n")}),
    Case("dockerfile-elsewhere", "FROM scratch\n", {"sub/My.dockerfile": text("FROM busybox\nCOPY a.txt /\n"), "a.txt": text("a")},
         flags=("-f", "{context}/sub/My.dockerfile")),
    Case("copy-no-match", "FROM busybox\nCOPY *.none /\n", TREE),
    Case("run-killed", "FROM busybox\nRUN kill -9 $$\n", TREE),
    Case("many-stages", "FROM busybox AS a\nRUN echo a > /a\nFROM busybox AS b\nRUN echo b > /b\nFROM a AS c\nCOPY --from=b /b /\nFROM scratch\nCOPY --from=c / /\n"),
    Case("no-cache-flags", "FROM busybox\nRUN echo x > /x\n", flags=("--no-cache", "--pull=false")),
    Case("network-flag", "FROM busybox\nRUN ls /sys/class/net > /n\n", flags=("--network", "none")),
    Case("add-host", "FROM busybox\nRUN grep some.host /etc/hosts | tr '\\t' ' ' > /h\n", flags=("--add-host", "some.host:1.2.3.4")),
    Case("shm-size", "FROM busybox\nRUN df /dev/shm | tail -1 | awk '{print $2}' > /s\n", flags=("--shm-size", "32m")),
    Case("build-context", "FROM busybox\nCOPY --from=more five /x\nRUN --mount=from=more,target=/m cat /m/five > /y\n", TREE,
         flags=("--build-context", "more={context}/other"), ours=True),
    Case("build-context-image", "FROM base\nRUN echo x > /x\n", flags=("--build-context", "base=docker-image://busybox"), ours=True),
)  # fmt: skip

FAILURES: tuple[Case, ...] = tuple(Case(name, dockerfile, TREE, flags, fails=True) for name, dockerfile, flags in (
    ("unknown-instruction", "FROM busybox\nRUNN echo\n", ()),
    ("unknown-no-hint", "FROM busybox\nXYZZY echo\n", ()),
    ("empty", "", ()),
    ("only-comment", "# nothing\n", ()),
    ("no-from", "RUN echo\n", ()),
    ("from-arguments", "FROM busybox AS\n", ()),
    ("stage-name", "FROM busybox AS 1x\n", ()),
    ("blank-base", "ARG b\nFROM $b\n", ()),
    ("unknown-flag", "FROM busybox\nCOPY --chwon=1 a.txt /\n", ()),
    ("flag-value", "FROM busybox\nCOPY --chown a.txt /\n", ()),
    ("flag-twice", "FROM busybox\nCOPY --chown=1 --chown=2 a.txt /\n", ()),
    ("copy-one-argument", "FROM busybox\nCOPY a.txt\n", ()),
    ("copy-missing", "FROM busybox\nCOPY nonesuch /\n", ()),
    ("copy-missing-deep", "FROM busybox\nCOPY dir/none/such /x/\n", ()),
    ("copy-unknown-stage", "FROM busybox\nCOPY --from=127.0.0.1:1/none /a /\n", ()),
    ("copy-outside", "FROM busybox\nCOPY ../../etc/passwd /p\n", ()),
    ("env-no-equals", "FROM busybox\nENV a\n", ()),
    ("env-mixed", "FROM busybox\nENV a=1 b\n", ()),
    ("label-blank", "FROM busybox\nLABEL =x\n", ()),
    ("bad-substitution", "FROM busybox\nENV a=${x:q}\n", ()),
    ("missing-brace", "FROM busybox\nENV a=${x\n", ()),
    ("required-variable", "FROM busybox\nENV a=${x:?is needed}\n", ()),
    ("onbuild-chain", "FROM busybox\nONBUILD ONBUILD RUN x\n", ()),
    ("onbuild-from", "FROM busybox\nONBUILD FROM x\n", ()),
    ("label-comment", "FROM busybox\nLABEL a=b # no comment\n", ()),
    ("copy-several", "FROM busybox\nCOPY a.txt b.txt /x\n", ()),
    ("chown-unknown", "FROM busybox\nCOPY --chown=nosuch a.txt /\n", ()),
    ("shell-form", "FROM busybox\nSHELL /bin/sh\n", ()),
    ("expose", "FROM busybox\nEXPOSE abc\n", ()),
    ("healthcheck", "FROM busybox\nHEALTHCHECK FOO\n", ()),
    ("healthcheck-interval", "FROM busybox\nHEALTHCHECK --interval=1x CMD a\n", ()),
    ("stopsignal", "FROM busybox\nSTOPSIGNAL FOO\n", ()),
    ("heredoc-open", "FROM busybox\nRUN <<EOF\necho\n", ()),
    ("mount-type", "FROM busybox\nRUN --mount=type=nope,target=/x true\n", ()),
    ("mount-target", "FROM busybox\nRUN --mount=type=cache true\n", ()),
    ("mount-key", "FROM busybox\nRUN --mount=type=cache,target=/x,colour=red true\n", ()),
    ("network", "FROM busybox\nRUN --network=foo true\n", ()),
    ("security", "FROM busybox\nRUN --security=insecure true\n", ()),
    ("escape", "# escape=x\nFROM busybox\n", ()),
    ("run-fails", "FROM busybox\nRUN echo out; echo err >&2; exit 7\n", ()),
    ("run-not-found", "FROM busybox\nRUN nonesuch\n", ()),
    ("run-exec-not-found", 'FROM busybox\nRUN ["/nonesuch", "a"]\n', ()),
    ("user-unknown", "FROM busybox\nUSER nosuchuser\nRUN id\n", ()),
    ("git-no-ref", f"FROM busybox\nADD {GIT}/repo.git#nonesuch /x\n", ()),
    ("git-no-subdir", f"FROM busybox\nADD {GIT}/repo.git#other:none /x\n", ()),
    ("git-no-repository", f"FROM busybox\nADD {GIT}/none.git /x\n", ()),
    ("chmod-bad", "FROM busybox\nCOPY --chmod=9zz a.txt /\n", ()),
    ("target", "FROM busybox AS a\n", ("--target", "nope")),
    ("checksum", "FROM busybox\nADD --checksum=sha256:" + "0" * 64 + " http://127.0.0.1:8099/file.txt /\n", ()),
    ("url-missing", "FROM busybox\nADD http://127.0.0.1:8099/nonesuch /\n", ()),
    ("secret-required", "FROM busybox\nRUN --mount=type=secret,id=x,required true\n", ()),
    ("circular", "FROM busybox AS a\nCOPY --from=a /x /y\n", ()),
    ("copy-onto-file", "FROM busybox\nRUN echo > /f\nCOPY dir /f\n", ()),
    ("file-onto-directory", "FROM busybox\nRUN mkdir -p /x/a.txt\nCOPY a.txt /x/\n", ()),
))  # fmt: skip

CLASSIC = (
    "from-inherits", "run-removes", "label", "env", "workdir", "arg-scopes", "healthcheck", "copy-from-stage",
    "add-archives", "escape", "many-stages", "says",
)  # fmt: skip
"""Those whose stream is compared with dockerd's classic builder's."""
