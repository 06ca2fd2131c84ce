"""`sampan cp`, archives and builds against our daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.daemon import Daemon


@pytest.fixture
def container(daemon: Daemon, name: str) -> Iterator[str]:
    daemon.ok("create", "--name", name, "busybox", "true")
    yield name
    daemon.ok("rm", "-f", name)


def tree(path: Path) -> dict[str, str | None]:
    return {
        str(entry.relative_to(path)): entry.read_text() if entry.is_file() else None
        for entry in sorted(path.rglob("*"))
        if not entry.is_symlink()
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "d/sub").mkdir(parents=True)
    (root / "a.txt").write_text("A")
    (root / "b.txt").write_text("B")
    (root / "d/sub/c").write_text("C")
    (root / "link").symlink_to("a.txt")
    (root / "a.txt").chmod(0o640)
    os.utime(root / "a.txt", (1e9, 1e9))
    return root


def copy(daemon: Daemon, *args: str) -> None:
    done = daemon.sampan("cp", *args)
    assert done.status == 0, done


def test_names_as_cp_gives_them(daemon: Daemon, container: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    copy(daemon, f"{source}/a.txt", f"{container}:/x")
    copy(daemon, f"{source}/d", f"{container}:/tmp")
    copy(daemon, f"{source}/d", f"{container}:/new")
    copy(daemon, f"{source}/d/.", f"{container}:/tmp")
    copy(daemon, f"{container}:/x", f"{out}/y")
    copy(daemon, f"{container}:/tmp", str(out))
    copy(daemon, f"{container}:/new", f"{out}/new")
    copy(daemon, f"{container}:/new/.", f"{out}/new")
    assert tree(out) == {
        "new": None, "new/sub": None, "new/sub/c": "C",
        "tmp": None, "tmp/d": None, "tmp/d/sub": None, "tmp/d/sub/c": "C", "tmp/sub": None, "tmp/sub/c": "C",
        "y": "A",
    }  # fmt: skip
    assert (out / "y").stat().st_mode & 0o777 == 0o640
    assert (out / "y").stat().st_mtime == 1e9


def test_several_sources_patterns_and_links(daemon: Daemon, container: str, source: Path, tmp_path: Path) -> None:
    copy(daemon, f"{source}/*.txt", f"{source}/link", f"{container}:/tmp")
    out = tmp_path / "out"
    out.mkdir()
    copy(daemon, f"{container}:/tmp/*.txt", str(out))
    assert tree(out) == {"a.txt": "A", "b.txt": "B"}
    copy(daemon, f"{container}:/tmp/link", f"{out}/kept")
    assert os.readlink(out / "kept") == "a.txt"
    copy(daemon, "-L", f"{container}:/tmp/link", f"{out}/followed")
    assert (out / "followed").read_text() == "A"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("{c}:/nosuch", "{t}"), "Could not find the file /nosuch in container"),
        (("{s}/nosuch", "{c}:/"), "no such file or directory"),
        (("{s}/d", "{c}:/bin/sh"), "cannot copy directory"),
        (("{c}:/bin/sh", "{t}/none/x"), "invalid output path"),
        (("{c}:/bin", "{c}:/x"), "copying between containers is not supported"),
        (("{s}/d", "{t}"), "must specify at least one container source"),
        (("{s}/a.txt", "{s}/b.txt", "{c}:/new"), "destination must be a directory"),
        (("{s}/*.none", "{c}:/tmp"), "no match"),
    ],
)
def test_refusals(
    args: tuple[str, ...], message: str, daemon: Daemon, container: str, source: Path, tmp_path: Path
) -> None:
    done = daemon.sampan("cp", *(arg.format(c=container, s=source, t=tmp_path) for arg in args))
    assert done.status == 1
    assert message in done.err


def test_archives_round_trip(daemon: Daemon, container: str, name: str, tmp_path: Path) -> None:
    image = f"{name}-image:1"
    assert daemon.sampan("commit", "-c", "ENV X=1", container, image).status == 0
    saved, exported = tmp_path / "i.tar", tmp_path / "c.tar"
    assert daemon.sampan("save", "-o", str(saved), image).status == 0
    assert daemon.sampan("rmi", image).status == 0
    assert daemon.sampan("load", "-i", str(saved)).out == f"Loaded image: {image}\n"
    assert daemon.sampan("export", "-o", str(exported), container).status == 0
    assert daemon.sampan("import", "-m", "note", str(exported), f"{name}-image:2").status == 0
    assert daemon.sampan("run", "--rm", f"{name}-image:2", "echo", "hi").out == "hi\n"
    assert daemon.sampan("rmi", image, f"{name}-image:2").status == 0
    assert not list(tmp_path.glob("*.tmp"))


def test_build_sends_the_context_without_what_is_ignored(daemon: Daemon, name: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG WORD\nCOPY . /c\nRUN echo $WORD > /w\n")
    (tmp_path / ".dockerignore").write_text("*.log\n!keep.log\n")
    for file in ("a", "drop.log", "keep.log"):
        (tmp_path / file).write_text(file)
    done = daemon.sampan("build", "-t", name, "--build-arg", "WORD=hello", str(tmp_path))
    assert done.status == 0, done
    shown = daemon.sampan("run", "--rm", name, "sh", "-c", "ls -A /c; cat /w")
    assert shown.out.split() == [".dockerignore", "Dockerfile", "a", "keep.log", "hello"]
    quiet = daemon.sampan("build", "-q", "-", stdin=b"FROM busybox\nLABEL a=b\n")
    assert quiet.out.startswith("sha256:")
    failed = daemon.sampan("build", "-", stdin=b"FROM busybox\nRUN exit 3\n")
    assert failed.status != 0
    assert daemon.sampan("rmi", name, quiet.out.strip()).status == 0
