"""Which files of a tree a copy means, and a digest of what they hold.

Patterns are Go's filepath.Match (`**` only with `--parents`), matched against paths from the tree's root; a source that
is a link is followed inside the tree, links further down are copied as links. The digest covers names, kinds, modes,
owners, link targets, extended attributes and contents, not times, so that a fresh checkout of the same files is the
same.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..dockerfile.ignore import IgnoreRules, matches_pattern, read_patterns
from ..errors import NotFound
from .sources import SourceFile, SourceTree, is_directory

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Selected:
    """`path`: where it really is, relative to the tree's root ('' for the root); `written`: how it was asked for.

    `kept` is what `--parents` keeps of that: the part after the pattern's `/./`, or the whole.
    """

    path: str
    written: str
    is_directory: bool
    kept: str
    wildcard: bool = False


def select(tree: SourceTree, patterns: Iterable[str], *, parents: bool = False) -> list[Selected]:
    """Resolve sources in order; NotFound for one without wildcards that is not there."""
    found: list[Selected] = []
    for pattern in patterns:
        clean = posixpath.normpath("/" + pattern).lstrip("/")
        left_out = _depth_of_pivot(pattern)
        if _WILDCARDS & set(clean):
            found += [_resolve(tree, path, left_out, wildcard=True) for path in _matching(tree, clean, parents)]
        else:
            found.append(_resolve(tree, clean, left_out))
    return found


def _depth_of_pivot(pattern: str) -> int:
    """How many parts of a path lie before the pattern's `/./`."""
    before, pivot, _ = pattern.partition("/./")
    return len([part for part in posixpath.normpath("/" + before).split("/") if part]) if pivot else 0


def _resolve(tree: SourceTree, path: str, left_out: int, *, wildcard: bool = False) -> Selected:
    try:
        real = tree.resolve(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f'failed to compute cache key: "/{path}": not found') from None
    kept = "/".join(path.split("/")[left_out:])
    return Selected(real, path, is_directory(tree, real), kept, wildcard)


def _matching(tree: SourceTree, pattern: str, recursive: bool) -> list[str]:
    paths = [""]
    for part in pattern.split("/"):
        one = _directories if recursive and part == "**" else _children_matching
        paths = list(dict.fromkeys(found for path in paths for found in one(tree, path, part)))
    return [path for path in paths if path]


def _directories(tree: SourceTree, path: str, _: str) -> Iterator[str]:
    """A directory and all below it."""
    yield path
    for name in _children_matching(tree, path, "*"):
        if stat.S_ISDIR(tree.file(name).mode):
            yield from _directories(tree, name, "**")


def _children_matching(tree: SourceTree, path: str, part: str) -> Iterator[str]:
    try:
        names = tree.names(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name == part or matches_pattern(part, name):
            yield f"{path}/{name}" if path else name


class Exclusion:
    """`--exclude` patterns, relative to each source."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = IgnoreRules(found) if (found := read_patterns("\n".join(patterns))) else None

    def __call__(self, path: str) -> bool:
        return self._rules is not None and self._rules.matches(path)


def inside(tree: SourceTree, chosen: Selected, excluded: Exclusion) -> Iterator[tuple[str, SourceFile]]:
    """Everything below a selected directory that is not excluded, parents first, by its path from there."""
    start = len(chosen.path) + 1 if chosen.path else 0
    for file in tree.below(chosen.path):
        path = file.path[start:]
        if not excluded(path):
            yield path, file


def digest(
    tree: SourceTree, patterns: Iterable[str], exclude: Iterable[str] = (), *, parents: bool = False
) -> tuple[str, dict[str, str]]:
    """One digest over all that the patterns select, and one for each file by its path."""
    excluded = Exclusion(exclude)
    total = hashlib.sha256()
    files: dict[str, str] = {}
    for chosen in select(tree, patterns, parents=parents):
        total.update(f"{chosen.written}\0{chosen.is_directory}\0".encode("utf-8", "surrogateescape"))
        for path, value in _entries(tree, chosen, excluded):
            files[path] = value
            total.update(f"{path}\0{value}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest(), files


def _entries(tree: SourceTree, chosen: Selected, excluded: Exclusion) -> Iterator[tuple[str, str]]:
    if not chosen.is_directory:
        yield posixpath.basename(chosen.path), _digest_file(tree.file(chosen.path))
        return
    for path, file in inside(tree, chosen, excluded):
        yield path, _digest_file(file)


def _digest_file(file: SourceFile) -> str:
    text = f"{file.mode:o} {file.uid} {file.gid} {file.rdev}\0"
    if stat.S_ISLNK(file.mode):
        text += file.link()
    elif stat.S_ISREG(file.mode):
        text += file.digest()
    value = hashlib.sha256(text.encode("utf-8", "surrogateescape"))
    for name, data in sorted(file.xattrs().items()):
        value.update(b"\0" + name.encode() + b"\0" + data)
    return value.hexdigest()
