"""/etc/passwd and /etc/group of an image: untrusted files, read by fd, never by NSS (rules S02, S09, S10)."""

from __future__ import annotations

import os
import stat

from ..linux.openat2 import open_in_root

SIZE_LIMIT = 10 << 20
"""Bytes that are read of each; more than any real file has."""


def read_lines(root: int, path: str) -> list[list[str]]:
    """The colon-separated lines of a file inside a root; empty where it is missing or no regular file."""
    try:
        fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return []  # missing, or a link to nowhere: an image without users
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        return _split(_read(fd))
    finally:
        os.close(fd)


def _read(fd: int) -> bytes:
    parts, left = [], SIZE_LIMIT
    while left and (part := os.read(fd, min(left, 1 << 16))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _split(content: bytes) -> list[list[str]]:
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    return [line.split(":") for line in map(str.strip, lines) if line and not line.startswith("#")]


def home_of(root: int, uid: int) -> str:
    """The home directory of a user id; "/" where there is none."""
    wanted = str(uid)
    for fields in read_lines(root, "/etc/passwd"):
        if len(fields) > 5 and fields[2] == wanted:
            return fields[5] or "/"
    return "/"
