"""`userns-remap`: whose subordinate ids containers get, by /etc/passwd, /etc/subuid and /etc/subgid (subuid(5))."""

from __future__ import annotations

import grp
import logging
import pwd
import subprocess

from msgspec.structs import replace

from ..errors import InvalidArgument, SampanError
from ..model.idmap import IdMap, IdRange
from .config import DaemonConfig

log = logging.getLogger("sampand")

DEFAULT_USER = "dockremap"
"""Docker's name, so that one entry in /etc/subuid serves both."""
_LAST_ID = 2**31 - 1


def applied(config: DaemonConfig) -> DaemonConfig:
    """The configuration with the map of `userns-remap` and, as Docker has it, a data root of the map's own."""
    user = resolve(config.settings.userns_remap)
    if user == "root":
        log.warning("User namespaces: root cannot be remapped with itself; user namespaces are OFF")
        user = ""
    if not user:
        return config
    log.info("User namespaces: ID ranges will be mapped to subuid/subgid ranges of: %s", user)
    try:
        ids = IdMap(ranges("/etc/subuid", "subuid", user), ranges("/etc/subgid", "subgid", user))
    except InvalidArgument as error:
        raise InvalidArgument(f"Can't create ID mappings: {error}") from None
    uid, gid = ids.root
    return replace(
        config, engine=replace(config.engine, id_map=ids, data_root=f"{config.engine.data_root}/{uid}.{gid}")
    )


def resolve(setting: str) -> str:
    """The user whose ranges `user`, `uid`, `user:group` or `default` means; "" for none."""
    if not setting:
        return ""
    words = setting.split(":")
    if len(words) > 2:
        raise InvalidArgument(f'Invalid user/group specification in --userns-remap: "{setting}"')
    user = _numbered(words) if _is_number(words[0]) else _named(words)
    if len(words) == 2:
        _check_group(words[1])
    return user


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and int(word) <= _LAST_ID


def _numbered(words: list[str]) -> str:
    number = int(words[0])
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        raise InvalidArgument(f"Uid {number} has no entry in /etc/passwd: {_missing(words[0], 'passwd')}") from None
    if len(words) == 1:
        _check_group(words[0])
    return user


def _missing(word: str, database: str) -> str:
    return f'getent unable to find entry "{word}" in {database} database'


def _named(words: list[str]) -> str:
    name = DEFAULT_USER if words[0] == "default" else words[0]
    try:
        pwd.getpwnam(name)
    except KeyError:
        if words[0] != "default":
            raise InvalidArgument(f'Error during uid lookup for "{name}": {_missing(name, "passwd")}') from None
        _add_default()
    if len(words) == 1:
        try:
            grp.getgrnam(name)
        except KeyError:
            raise InvalidArgument(f'Error during gid lookup for "{name}": {_missing(name, "group")}') from None
    return name


def _check_group(word: str) -> None:
    try:
        if _is_number(word):
            grp.getgrgid(int(word))
        else:
            grp.getgrnam(DEFAULT_USER if word == "default" else word)
    except KeyError:
        # "passwd" is Docker's slip; tools may look for it.
        about = f"Gid {word} has no entry in /etc/passwd"
        if not _is_number(word):
            about = f'Error during gid lookup for "{word}"'
        raise InvalidArgument(f"{about}: {_missing(word, 'group')}") from None


def _add_default() -> None:
    """Make the user; useradd(8) gives a system user no subordinate ids unless it is asked to."""
    for command in (
        ["groupadd", "--force", "--system", DEFAULT_USER],
        ["useradd", "--system", "--gid", DEFAULT_USER, "--no-create-home", "--shell", "/bin/false", DEFAULT_USER],
        ["usermod", *_free_range(), DEFAULT_USER],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SampanError(
                f'error during "{DEFAULT_USER}" user creation: {" ".join(command)}: {done.stderr.strip()}'
            )


def _free_range() -> list[str]:
    """65536 ids above all that /etc/subuid and /etc/subgid give away."""
    ends = [100000]
    for path in ("/etc/subuid", "/etc/subgid"):
        ends += [start + size for _, start, size in _read(path)]
    first = max(ends)
    return ["--add-subuids", f"{first}-{first + 65535}", "--add-subgids", f"{first}-{first + 65535}"]


def ranges(path: str, kind: str, user: str) -> tuple[IdRange, ...]:
    """The user's ranges, in the order of the file, laid end to end from id 0. InvalidArgument when there is none."""
    names = {user}
    try:
        names.add(str(pwd.getpwnam(user).pw_uid))
    except KeyError:
        pass  # the ranges of a name that has gone
    found: list[IdRange] = []
    for name, start, size in _read(path):
        if name in names:
            found.append(IdRange(sum(one.size for one in found), start, size))
    if not found:
        raise InvalidArgument(f'no {kind} ranges found for user "{user}"')
    return tuple(found)


def _read(path: str) -> list[tuple[str, int, int]]:
    try:
        with open(path) as file:
            lines = [line.strip().split(":") for line in file if line.strip() and not line.startswith("#")]
    except FileNotFoundError:
        raise InvalidArgument(f"open {path}: no such file or directory") from None
    try:
        return [(name, int(start), int(size)) for name, start, size in lines]
    except ValueError:
        raise InvalidArgument(f"cannot parse subuid/gid ranges: {path}") from None
