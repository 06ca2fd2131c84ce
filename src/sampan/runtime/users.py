"""Who a container's process is: `USER` and `--user` looked up in the image's own files (S02, S09, S10)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sampan.errors import InvalidArgument
from sampan.ocirun.passwd import read_lines

HIGHEST = (1 << 31) - 1


@dataclass(frozen=True)
class User:
    """Numbers as the kernel wants them; `groups` are the supplementary ones, without `gid`."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


def resolve(rootfs: str, user: str, group_add: Sequence[str] = ()) -> User:
    """`name`, `uid`, `name:group`, `uid:gid`, `:group`, `user:`, or empty for root; InvalidArgument for nobody."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        groups = read_lines(root, "/etc/group")
        return _resolve(read_lines(root, "/etc/passwd"), groups, user, group_add)
    finally:
        os.close(root)


def _resolve(users: list[list[str]], groups: list[list[str]], user: str, group_add: Sequence[str]) -> User:
    name, colon, group = user.partition(":")
    if name.startswith("-") and _is_number(name[1:]):
        raise InvalidArgument(f"uids and gids must be in range 0-{HIGHEST}")
    entry = _find(users, name or "0", 4)
    if entry is None and not _is_number(name or "0"):
        raise InvalidArgument(f"unable to find user {name}: no matching entries in passwd file")
    uid = _number(entry[2] if entry else name or "0")
    gid = _number(entry[3]) if entry else 0
    members: tuple[int, ...] = ()
    if colon and group:
        gid = _group(groups, group)
    elif entry is not None:
        members = tuple(_number(line[2]) for line in groups if len(line) > 3 and entry[0] in line[3].split(","))
    added = tuple(_group(groups, extra) for extra in group_add)
    return User(uid, gid, tuple(dict.fromkeys((*members, *added))))


def _find(lines: list[list[str]], wanted: str, fields: int) -> list[str] | None:
    """By name, else by number."""
    usable = [line for line in lines if len(line) >= fields and _is_number(line[2])]
    named = next((line for line in usable if line[0] == wanted), None)
    if named is not None or not _is_number(wanted):
        return named
    return next((line for line in usable if int(line[2]) == int(wanted)), None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _number(text: str) -> int:
    number = int(text)
    if number > HIGHEST:
        raise InvalidArgument(f"uids and gids must be in range 0-{HIGHEST}")
    return number


def _group(groups: list[list[str]], wanted: str) -> int:
    entry = _find(groups, wanted, 3)
    if entry is not None:
        return _number(entry[2])
    if not _is_number(wanted):
        raise InvalidArgument(f"unable to find group {wanted}: no matching entries in group file")
    return _number(wanted)
