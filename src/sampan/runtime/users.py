"""`USER` and `--user`: from words to numbers, by the image's own /etc/passwd and /etc/group (rules S06, S09, S10)."""

from __future__ import annotations

import os

from msgspec import Struct

from ..errors import InvalidArgument
from ..ocirun.passwd import read_lines

_LAST_ID = 2**31 - 1


class User(Struct, frozen=True):
    """Numeric identity; `groups` are the supplementary ones, the primary first, as Docker lists them."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/"


def resolve(rootfs: str, user: str = "", group_add: list[str] | None = None) -> User:
    """The identity that `u`, `u:g`, `1`, `1:2`, `u:` or `:g` means inside a root file system (a host path).

    Raises InvalidArgument with Docker's text for a name that is not there and for a number out of range.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        accounts, groups = read_lines(root, "/etc/passwd"), read_lines(root, "/etc/group")
    finally:
        os.close(root)
    name, _, group = user.partition(":")
    account = _account(accounts, name)
    uid, gid, account_name, home = account
    if group:
        gid = _group_id(groups, group)
        supplementary: list[int] = []
    else:
        supplementary = [number for number, members in _memberships(groups) if account_name and account_name in members]
    added = [_group_id(groups, word) for word in group_add or ()]
    return User(uid, gid, tuple(dict.fromkeys([gid, *supplementary, *added])), home)


def _number(text: str) -> int | None:
    """A number in range, None for a name; what only looks like a number is refused, never taken for a name."""
    digits = text[1:] if text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(text) if len(digits) < 20 else _LAST_ID + 1
    if not 0 <= number <= _LAST_ID:
        raise InvalidArgument("uids and gids must be in range 0-2147483647")
    return number


def _account(accounts: list[list[str]], name: str) -> tuple[int, int, str, str]:
    """(uid, gid, name, home)"""
    number = _number(name) if name else 0
    for fields in accounts:
        if len(fields) < 4:
            continue
        uid = _field(fields[2])
        if uid is not None and (fields[0] == name if number is None else uid == number):
            home = fields[5] if len(fields) > 5 and fields[5] else "/"
            return uid, _field(fields[3]) or 0, fields[0], home
    if number is None:
        raise InvalidArgument(f"unable to find user {name}: no matching entries in passwd file")
    return number, 0, "", "/"


def _field(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _LAST_ID else None


def _memberships(groups: list[list[str]]) -> list[tuple[int, list[str]]]:
    found = []
    for fields in groups:
        number = _field(fields[2]) if len(fields) > 3 else None
        if number is not None:
            found.append((number, fields[3].split(",")))
    return found


def _group_id(groups: list[list[str]], word: str) -> int:
    number = _number(word)
    if number is not None:
        return number
    for fields in groups:
        if len(fields) > 2 and fields[0] == word:
            found = _field(fields[2])
            if found is not None:
                return found
    raise InvalidArgument(f"unable to find group {word}: no matching entries in group file")
