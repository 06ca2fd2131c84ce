"""Reading and writing the small files of cgroupfs."""

from __future__ import annotations

import os


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


def read_number(directory: str, name: str, missing: int = 0) -> int:
    """A control file with one number; "max" is 0, as is what the kernel does not have."""
    try:
        text = read(directory, name)
    except FileNotFoundError:
        return missing
    return int(text) if text.lstrip("-").isdigit() else missing


def read_pairs(directory: str, name: str) -> dict[str, int]:
    """A flat-keyed control file (`name value` a line); empty where the kernel does not have it."""
    try:
        text = read(directory, name)
    except FileNotFoundError:
        return {}
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdigit()}


def write(directory: str, name: str, value: str | int) -> None:
    """Write a control file in one write(2); the error names file and value."""
    path = f"{directory}/{name}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, f"failed to write {str(value)!r}: {error.strerror}", path) from error


def exists(directory: str, name: str) -> bool:
    """Whether the kernel has a control file."""
    return os.path.exists(f"{directory}/{name}")
