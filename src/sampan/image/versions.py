"""Comparing versions as dpkg, rpm and apk do, and as semantic versions compare."""

from __future__ import annotations

import re
from typing import Any


def compare_dpkg(left: str, right: str) -> int:
    """-1, 0 or 1 (deb-version(7))."""
    left_epoch, left_rest = _epoch(left)
    right_epoch, right_rest = _epoch(right)
    if left_epoch != right_epoch:
        return -1 if left_epoch < right_epoch else 1
    left_upstream, left_revision = _revision(left_rest)
    right_upstream, right_revision = _revision(right_rest)
    return _compare_part(left_upstream, right_upstream) or _compare_part(left_revision, right_revision)


def _epoch(version: str) -> tuple[int, str]:
    epoch, colon, rest = version.partition(":")
    return (int(epoch), rest) if colon and epoch.isdigit() else (0, version)


def _revision(version: str) -> tuple[str, str]:
    upstream, dash, revision = version.rpartition("-")
    return (upstream, revision) if dash else (version, "")


def _compare_part(left: str, right: str) -> int:
    """Digits by value, the rest by character: `~` before the end, letters before everything else."""
    while left or right:
        left_text, left = _split(left, r"\D*")
        right_text, right = _split(right, r"\D*")
        left_key, right_key = _order(left_text), _order(right_text)
        if left_key != right_key:
            return -1 if left_key < right_key else 1
        left_digits, left = _split(left, r"\d*")
        right_digits, right = _split(right, r"\d*")
        if int(left_digits or 0) != int(right_digits or 0):
            return -1 if int(left_digits or 0) < int(right_digits or 0) else 1
    return 0


def _split(text: str, pattern: str) -> tuple[str, str]:
    found = re.match(pattern, text)
    end = found.end() if found else 0
    return text[:end], text[end:]


def _order(text: str) -> list[int]:
    ranks = [-1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256 for char in text]
    return [*ranks, 0]  # the end stands between `~` and everything else


def compare_rpm(left: str, right: str) -> int:
    """-1, 0 or 1 (rpm-version(7)): epoch, version, release, each in segments of digits or letters."""
    left_epoch, left_rest = _epoch(left)
    right_epoch, right_rest = _epoch(right)
    if left_epoch != right_epoch:
        return -1 if left_epoch < right_epoch else 1
    (left_version, left_release), (right_version, right_release) = _revision(left_rest), _revision(right_rest)
    return _compare_segments(left_version, right_version) or _compare_segments(left_release, right_release)


_SEGMENT = re.compile(r"\d+|[a-zA-Z]+|~|\^")
_TILDE, _END, _CARET, _LETTERS, _DIGITS = range(5)


def _compare_segments(left: str, right: str) -> int:
    left_key, right_key = [_segment_key(part) for part in (left, right)]
    return (left_key > right_key) - (left_key < right_key)


def _segment_key(text: str) -> list[tuple[int, int, str]]:
    """`~` sorts before the end, `^` just after it, letters before digits."""
    key = []
    for part in _SEGMENT.findall(text):
        if part.isdigit():
            key.append((_DIGITS, int(part), ""))
        else:
            key.append(({"~": _TILDE, "^": _CARET}.get(part, _LETTERS), 0, part))
    return [*key, (_END, 0, "")]


_APK = re.compile(r"(\d+(?:\.\d+)*)([a-z]?)((?:_[a-z]+\d*)*)(?:~[0-9a-f]+)?(?:-r(\d+))?")
_APK_SUFFIXES = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}


def compare_apk(left: str, right: str) -> int:
    """-1, 0 or 1 (apk-package(5)): `1.2_rc1` before `1.2` before `1.2_p1`; -r is the build. Else as dpkg."""
    found, other = _APK.fullmatch(left), _APK.fullmatch(right)
    if found is None or other is None:
        return compare_dpkg(left, right)
    for mine, theirs in zip(_apk_key(found), _apk_key(other), strict=True):
        if mine != theirs:
            return -1 if mine < theirs else 1
    return 0


def _apk_key(found: re.Match[str]) -> tuple[Any, ...]:
    first, *rest = found[1].split(".")
    # A part with a leading zero is a fraction: 1.05 before 1.1.
    numbers = [(0, int(first), "")] + [
        (0, 0, part) if part.startswith("0") and len(part) > 1 else (1, int(part), "") for part in rest
    ]
    suffixes = [
        (_APK_SUFFIXES.get(name, 0), int(number or 0)) for name, number in re.findall(r"_([a-z]+)(\d*)", found[3])
    ]
    return numbers, found[2], [*suffixes, (0, -1)], int(found[4] or 0)


def compare_numeric(left: str, right: str) -> int:
    """Dotted numbers by value; a suffix (`-rc1`, `a1`) comes before the plain version."""
    left_key, right_key = _numeric(left), _numeric(right)
    return (left_key > right_key) - (left_key < right_key)


def _numeric(version: str) -> tuple[list[int], int, list[tuple[int, int, str]]]:
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    rest = version[found.end() :].partition("+")[0] if found else version
    after = re.match(r"[._-]?(post|p|r)\d", rest)
    parts = [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|[a-z]+", rest.lower())]
    return numbers, 1 if after else (0 if not rest else -1), parts
