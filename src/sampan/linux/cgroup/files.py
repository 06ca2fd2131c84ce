"""Reading and writing the small files of cgroupfs."""

from __future__ import annotations

import os
from resource import RLIMIT_NOFILE, getrlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str, str], str]

_MOST_FDS = getrlimit(RLIMIT_NOFILE)[0] // 2
"""Fds from here on are left for others."""


def read(directory: str, name: str) -> str:
    """The content of a control file, without the final newline."""
    fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(fd, 65536)
        # seq_file gives at most a page at a time: well below that, there is no more.
        while len(content) >= 2048 and (more := os.read(fd, 65536)):
            content += more
    finally:
        os.close(fd)
    return content.decode().rstrip("\n")


class Opened:
    """For what is read time and again: files stay open where there are fds to spare. Opening one costs ten readings."""

    __slots__ = ("_fds",)

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close them all; they are opened anew when they are read again."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def read(self, directory: str, name: str) -> str:
        """As the function; OSError (ENODEV) where the group is gone."""
        path = f"{directory}/{name}"
        fd = self._fds.get(path)
        if fd is None:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if fd >= _MOST_FDS:
                os.close(fd)
                return read(directory, name)
            self._fds[path] = fd
        content = os.pread(fd, 65536, 0)
        while len(content) >= 2048 and (more := os.pread(fd, 65536, len(content))):
            content += more
        return content.decode().rstrip("\n")


def read_number(directory: str, name: str, missing: int = 0, read: Read = read) -> int:
    """A control file with one number; "max" is 0, as is what the kernel does not have."""
    try:
        text = read(directory, name)
    except FileNotFoundError:
        return missing
    return int(text) if text.lstrip("-").isdigit() else missing


def read_pairs(directory: str, name: str, read: Read = read) -> dict[str, int]:
    """A flat-keyed control file (`name value` a line); empty where the kernel does not have it."""
    try:
        text = read(directory, name)
    except FileNotFoundError:
        return {}
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdigit()}


def write(directory: str, name: str, value: str | int) -> None:
    """Write a control file in one write(2); the error names file and value, in runc's words."""
    path, step = f"{directory}/{name}", "open"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        step = "write"
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise OSError(error.errno, f'failed to write "{value}": {step} {path}: {reason}') from error


def exists(directory: str, name: str) -> bool:
    """Whether the kernel has a control file."""
    return os.path.exists(f"{directory}/{name}")
