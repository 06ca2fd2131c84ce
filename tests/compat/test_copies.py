"""`docker cp` in every form, into and out of stopped, running and paused containers, here and at a real dockerd."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import pytest

from ..support.daemon import Daemon
from ..support.peer import Peer
from .test_files_and_volumes import STREAM, listing

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("files-peer")]

TREE = """
mkdir -p /w/d/s /w/empty; echo one > /w/f; echo two > /w/d/g; echo three > /w/d/s/h
chmod 4750 /w/d/g; chown 12:34 /w/f
ln -s f /w/l; ln -s d /w/dl; ln -s /nosuch /w/broken; ln -s /w/d /w/abs; ln -s ../../../etc/passwd /w/out
mkfifo /w/pipe
"""
STATES = {"stopped": "true", "running": "exec sleep 1000", "paused": "exec sleep 1000"}
LINES = [line for line in """
cp HOST/file BOX:/w/new
cp HOST/file BOX:/w/d
cp HOST/file BOX:/w/d/
cp HOST/file BOX:/w/nodir/
cp HOST/file BOX:/w/nodir/x
cp HOST/file BOX:/w/f/
cp HOST/file BOX:/w/dl/
cp HOST/file BOX:/w/abs
cp HOST/file BOX:/w/l
cp HOST/file BOX:/w/broken
cp HOST/file BOX:w/relative
cp HOST/dir BOX:/w/copy
cp HOST/dir BOX:/w/copy
cp HOST/dir/. BOX:/w/copy2
cp HOST/dir/ BOX:/w/d
cp HOST/dir/. BOX:/w/empty/
cp HOST/dir BOX:/w/f
cp HOST/dir BOX:/w/no/such
cp HOST/dir/link BOX:/w/link
cp -L HOST/dir/link BOX:/w/link2
cp -L HOST/dir/below BOX:/w/below
cp -a HOST/file BOX:/w/archived
cp HOST/nosuch BOX:/w
cp HOST/dir/broken BOX:/w/
cp -L HOST/dir/broken BOX:/w/
cp - BOX:/w/d < tar
cp -a - BOX:/w/dl < tar
cp - BOX:/w/f < tar
cp - BOX:/w/nosuch < tar
cp BOX:/w/f HOST/out
cp BOX:/w/f HOST/nodir/
cp BOX:/w/f HOST/nodir/x
cp BOX:/w/f HOST/dir
cp BOX:/w/d HOST/got
cp BOX:/w/d HOST/got
cp BOX:/w/d/. HOST/got2
cp BOX:/w/d/ HOST/got3
cp BOX:/w/l HOST/gl
cp -L BOX:/w/l HOST/gl2
cp BOX:/w/dl HOST/gdl
cp -L BOX:/w/dl HOST/gdl2
cp BOX:/w/dl/ HOST/gdl3
cp BOX:/w/dl/. HOST/gdl4
cp BOX:/w/abs/g HOST/absolute
cp BOX:/w/broken HOST/gb
cp -L BOX:/w/broken HOST/gb2
cp -L BOX:/w/out HOST/passwd
cp BOX:/w/nosuch HOST/x
cp BOX:/w/f/ HOST/x
cp -q BOX:/w/f HOST/quiet
cp BOX:/w/d HOST/file
cp -a BOX:/w/d HOST/archived
cp BOX:/w/pipe HOST/pipe
cp BOX:/w/d -
cp BOX:/w/f -
cp -L BOX:/w/l -
cp BOX:/w/nosuch -
cp BOX:/w/f BOX:/w/other
cp HOST/file HOST/other
cp BOX:/proc/version HOST/version
""".splitlines() if line]  # fmt: skip


def furnish(host: Path) -> None:
    (host / "dir" / "sub").mkdir(parents=True)
    (host / "file").write_text("from the host\n")
    (host / "dir" / "f").write_text("below\n")
    (host / "dir" / "sub" / "g").write_text("further below\n")
    for name, target in (("link", "f"), ("below", "sub"), ("broken", "nosuch")):
        (host / "dir" / name).symlink_to(target)


def tree(host: Path) -> str:
    """What lies on the host, with kinds, modes, owners and content."""
    shown = []
    for path in sorted(host.rglob("*")):
        found = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        shown.append(f"{path.relative_to(host)} {found.st_mode:o} {found.st_uid} {found.st_gid} {content!r}")
    return "\n".join(shown)


def copies(engine: Daemon | Peer, state: str, host: Path) -> list[str]:
    """What each line says, and what then lies where it copied to."""
    furnish(host)
    box = f"box{state}"
    engine.ok("run", "-d", "--name", box, "--network", "none", "busybox", "sh", "-c", f"{TREE}{STATES[state]}")
    if state == "stopped":
        engine.ok("wait", box)
    else:
        engine.ok("exec", box, "sh", "-c", "until [ -p /w/pipe ]; do :; done")
    if state == "paused":
        engine.ok("pause", box)
    answers = []
    for line in LINES:
        words, stdin = line.split(), None
        if words[-1] == "tar":
            words, stdin = words[:-2], STREAM.getvalue()
        done = engine.docker(*(word.replace("HOST", str(host)).replace("BOX", box) for word in words), stdin=stdin)
        if words[-1] == "-" and done.status == 0:
            answers.append(f"{line}\n{listing(done.out)}")
            continue
        inside = engine.docker("cp", f"{box}:/w", "-").out if words[-1].startswith("BOX") else ""
        after = listing(inside) if inside else tree(host)
        said = f"{done.status} {done.out} {done.err}".replace(str(host), "HOST")
        # The client may say how far it had come when it was refused.
        answers.append(f"{line}\n{re.sub(r'[0-9a-f]{64}|time=.*(?m:$)', '', said).split()}\n{after}")
    engine.ok("rm", "-f", box)
    return answers


@pytest.mark.parametrize("state", STATES)
def test_copies_are_docker_s(both: tuple[Daemon, Peer], tmp_path: Path, state: str) -> None:
    daemon, peer = both
    ours, theirs = (copies(engine, state, tmp_path / type(engine).__name__) for engine in (daemon, peer))
    different: list[str] = []
    for one, other in zip(ours, theirs, strict=True):
        different += difflib.unified_diff(other.splitlines(), one.splitlines(), "dockerd", "here", lineterm="", n=2)
    assert not different, "\n".join(different)
