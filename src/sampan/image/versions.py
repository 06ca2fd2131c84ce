"""Comparing versions as dpkg does, and as semantic versions compare; both serve as keys for sorting."""

from __future__ import annotations

import re
from functools import cmp_to_key
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


dpkg_key: Any = cmp_to_key(compare_dpkg)
numeric_key: Any = cmp_to_key(compare_numeric)
