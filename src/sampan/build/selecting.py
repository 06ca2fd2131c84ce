"""Which files of a tree a copy means, and a digest of what they hold.

Patterns are Go's filepath.Match (no `**`), matched against paths from the tree's root; a source that is a link is
followed inside the tree, links further down are copied as links. The digest covers names, kinds, modes, owners, link
targets, extended attributes and contents, not times, so that a fresh checkout of the same files is the same.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..dockerfile.ignore import IgnoreRules, matches_pattern, read_patterns
from ..errors import NotFound
from ..linux.openat2 import open_in_root
from ..tree.directories import Directories
from ..tree.metadata import read_xattrs
from ..tree.walk import Node, walk

_WILDCARDS = frozenset("*?[")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Selected:
    """`path`: where it really is, relative to the tree's root ('' for the root); `written`: how it was asked for."""

    path: str
    written: str
    is_directory: bool
    wildcard: bool = False


def select(root: int, patterns: Iterable[str]) -> list[Selected]:
    """Resolve sources in order; NotFound for one without wildcards that is not there."""
    found: list[Selected] = []
    for pattern in patterns:
        clean = posixpath.normpath("/" + pattern).lstrip("/")
        if _WILDCARDS & set(clean):
            found += [_resolve(root, path, wildcard=True) for path in _matching(root, clean)]
        else:
            found.append(_resolve(root, clean))
    return found


def _resolve(root: int, path: str, *, wildcard: bool = False) -> Selected:
    try:
        fd = open_in_root(root, path or ".", os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f'failed to compute cache key: "/{path}": not found') from None
    try:
        real = os.readlink(f"/proc/self/fd/{fd}")
        base = os.readlink(f"/proc/self/fd/{root}")
        inside = real.removeprefix(base.rstrip("/")).lstrip("/") if base != "/" else real.lstrip("/")
        return Selected(inside, path, stat.S_ISDIR(os.fstat(fd).st_mode), wildcard)
    finally:
        os.close(fd)


def _matching(root: int, pattern: str) -> list[str]:
    parts = pattern.split("/")
    paths = [""]
    with Directories(root) as directories:
        for part in parts:
            paths = [found for path in paths for found in _children_matching(directories, path, part)]
    return paths


def _children_matching(directories: Directories, path: str, part: str) -> Iterator[str]:
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directories.open(path))
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        names = sorted(os.listdir(fd))
    finally:
        os.close(fd)
    for name in names:
        if name == part or matches_pattern(part, name):
            yield f"{path}/{name}" if path else name


class Exclusion:
    """`--exclude` patterns, relative to each source."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = IgnoreRules(found) if (found := read_patterns("\n".join(patterns))) else None

    def __call__(self, path: str) -> bool:
        return self._rules is not None and self._rules.matches(path)


def nodes(directories: Directories, chosen: Selected, excluded: Exclusion) -> Iterator[Node]:
    """Everything below a selected directory that is not excluded, parents first."""
    prefix = f"{chosen.path}/" if chosen.path else ""
    for node in walk(directories, chosen.path):
        if not excluded(node.path.removeprefix(prefix)):
            yield node


def digest(root: int, patterns: Iterable[str], exclude: Iterable[str] = ()) -> tuple[str, dict[str, str]]:
    """One digest over all that the patterns select, and one for each file by its path."""
    excluded = Exclusion(exclude)
    total = hashlib.sha256()
    files: dict[str, str] = {}
    with Directories(root) as directories:
        for chosen in select(root, patterns):
            total.update(f"{posixpath.basename(chosen.written)}\0{chosen.is_directory}\0".encode())
            for path, value in _entries(directories, chosen, excluded):
                files[path] = value
                total.update(f"{path}\0{value}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest(), files


def _entries(directories: Directories, chosen: Selected, excluded: Exclusion) -> Iterator[tuple[str, str]]:
    if not chosen.is_directory:
        parent, _, name = chosen.path.rpartition("/")
        fd = directories.open(parent)
        node = Node(chosen.path, fd, name, os.stat(name, dir_fd=fd, follow_symlinks=False))
        yield posixpath.basename(chosen.path), _digest_node(node)
        return
    prefix = f"{chosen.path}/" if chosen.path else ""
    for node in nodes(directories, chosen, excluded):
        yield node.path.removeprefix(prefix), _digest_node(node)


def _digest_node(node: Node) -> str:
    found = node.stat
    value = hashlib.sha256(f"{found.st_mode:o} {found.st_uid} {found.st_gid} {found.st_rdev}\0".encode())
    if stat.S_ISLNK(found.st_mode):
        value.update(os.readlink(os.fsencode(node.name), dir_fd=node.directory))
        return value.hexdigest()
    for name, data in sorted(read_xattrs(f"/proc/self/fd/{node.directory}/{node.name}").items()):
        value.update(name.encode() + b"\0" + data + b"\0")
    if stat.S_ISREG(found.st_mode):
        _hash_file(node, value)
    return value.hexdigest()


def _hash_file(node: Node, value: hashlib._Hash) -> None:
    fd = os.open(node.name, _READ, dir_fd=node.directory)
    try:
        while chunk := os.read(fd, 1 << 20):
            value.update(chunk)
    finally:
        os.close(fd)
