"""cp, diff, commit, volumes and mounts: the stock client says the same of us as of a real Docker Engine."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from ..support.daemon import Daemon
from ..support.peer import Peer

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("files-peer")]


CHANGE = (
    "mkdir -p /a/b; echo x >/a/b/c; rm /etc/passwd; chmod 700 /home; rm -rf /root; touch /root; mknod /a/n c 1 3; "
    "ln -s x /a/l; mkdir /etc/t; rmdir /etc/t; touch -d 2020-01-01 /etc/group; rm -rf /var; mkdir -p /var/new; "
    "echo y >> /etc/hosts; echo z > /dev/shm/z; touch /tmp"
)
STREAM = io.BytesIO()
with tarfile.open(fileobj=STREAM, mode="w") as archive:
    for name, kind in (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE), ("d/l", tarfile.SYMTYPE)):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.uid, info.gid = kind, 0o755, "f" if "l" in name else "", 12, 34
        archive.addfile(info)

LINES = [line for line in f"""
create --name box1 -v named:/named -v /anonymous --tmpfs /tm/p -v /var/tmp/nosuch/x:/made busybox sh -c '{CHANGE}'
diff box1
start -a box1
diff box1
commit -m why -a me -c 'ENV A=1' -c 'ENTRYPOINT ["/bin/sh","-c"]' -c 'EXPOSE 80/tcp' box1 made:1
inspect -f '{{{{json .Config}}}} {{{{.Author}}}} {{{{.Comment}}}} {{{{len .RootFS.Layers}}}}' made:1
run --rm made:1 'cat /a/b/c; ls -ld /home /root /a/n; ls -A /var /etc/passwd'
cp - box1:/tmp < tar
cp -a - box1:/tmp < tar
cp - box1:/nosuch < tar
cp - box1:/etc/group < tar
cp box1:/tmp/d -
cp box1:/tmp/d/. -
cp box1:/tmp/d/ -
cp box1:/tmp/d/l -
cp -L box1:/tmp/d/l -
cp box1:/etc/mtab -
cp box1:/nosuch -
cp box1:/proc/self -
rm -v box1
volume ls -q
volume inspect -f '{{{{json .Labels}}}} {{{{json .Options}}}} {{{{.Driver}}}} {{{{.Scope}}}}' named
run --name box2 -v named:/etc --read-only -v ro:/ro:ro busybox ls -A /etc /ro
cp - box2:/tmp < tar
cp - box2:/ro < tar
cp - box2:/etc < tar
volume rm named
run --rm --volumes-from box2 busybox ls -ldn /etc /etc/d /etc/group
run --rm --volumes-from box2:ro busybox touch /etc/x
run --rm --volumes-from box2:nope busybox true
run --rm -v named:/data:nope busybox true
run --rm -v aa:/data -v bb:/data busybox true
run --rm --mount type=bind,src=/nosuch,dst=/x busybox true
run --rm --mount type=volume,dst=/x,readonly busybox true
run --rm --mount type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1770 busybox sh -c 'df -k /x; ls -ld /x'
run --rm --tmpfs /x:size=1m,exec busybox sh -c 'grep " /x " /proc/mounts'
run --rm -v named:/x:nocopy,ro busybox sh -c 'touch /x/y; ls /x'
run --rm --mount type=volume,src=named,dst=/x,volume-subpath=nosuch busybox true
rm box2
volume create --label a=b -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=7 vv
run --rm -v vv:/v busybox sh -c 'df -k /v; ls -ldn /v'
volume create -o foo=bar ww
volume create x
volume create -d nosuch ww
volume ls --filter label=a -q
volume ls --filter dangling=maybe
volume prune -f --filter foo=bar
volume rm nosuch
volume rm -f nosuch
volume rm vv ro named
""".splitlines() if line]  # fmt: skip


def answer(engine: Daemon | Peer, line: str) -> str:
    """Status and output without what differs by nature: ids, times, paths of the engines."""
    import shlex

    words = shlex.split(line)
    stdin = None
    if words[-2:] == ["<", "tar"]:
        words, stdin = words[:-2], STREAM.getvalue()
    done = engine.docker(*words, stdin=stdin)
    out = "\n".join(done.out.splitlines() if words[0] != "diff" else sorted(done.out.splitlines()))
    if words[0] == "cp" and words[-1] == "-" and done.status == 0:
        return listing(done.out)
    text = f"{done.status} {out}\n{done.err}"
    for pattern, shown in _MASKS:
        text = pattern.sub(shown, text)
    return text.strip()


def listing(data: str) -> str:
    with tarfile.open(fileobj=io.BytesIO(data.encode("utf-8", "surrogateescape"))) as found:
        return "\n".join(f"{m.name} {m.type!r} {m.mode:o} {m.uid} {m.gid} {m.size} {m.linkname}" for m in found)


_MASKS = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "ID"),
    (re.compile(r"[A-Z][a-z]{2} +\d+ +\d\d:\d\d"), "TIME"),
    (re.compile(r"(?m)^Run '.*$|^See '.*$"), ""),
    (re.compile(r"docker: "), ""),
    (re.compile(r"/var/tmp/[^ ]*?/data/"), "ROOT/"),
)


def test_the_same_answers(both: tuple[Daemon, Peer], tmp_path: Path) -> None:
    daemon, peer = both
    differences = []
    for line in LINES:
        ours, theirs = answer(daemon, line), answer(peer, line)
        if ours != theirs:
            differences.append(f"--- {line}\nours:   {ours}\ntheirs: {theirs}")
    assert not differences, "\n".join(differences)
