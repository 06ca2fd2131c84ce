"""Puts a layer's tar together again, byte by byte, from its files and what dockerd kept of the rest (tar-split).

The description is gzip of JSON values, one a line: type 1 is a file (`name`, `size`; its bytes are the unpacked
file's), type 2 a segment (`payload`: headers and padding, base64).
"""

from __future__ import annotations

import gzip
import os
from base64 import b64decode
from collections.abc import Iterator

from msgspec import DecodeError, Struct, json

from ..errors import DataLoss
from ..linux.openat2 import open_in_root

_FILE, _SEGMENT = 1, 2
_CHUNK = 1 << 20


class _Entry(Struct):
    type: int
    name: str = ""
    name_raw: str = ""
    size: int = 0
    payload: str | None = None


def assemble(description: str, directory: str) -> Iterator[bytes]:
    """The chunks of the tar: `description` is the path of tar-split.json.gz, `directory` that of the unpacked layer."""
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with gzip.open(description) as lines:
            for line in lines:
                entry = json.decode(line, type=_Entry)
                if entry.type == _SEGMENT:
                    yield b64decode(entry.payload or "")
                elif entry.type == _FILE and entry.size:
                    yield from _contents(root, entry)
    except (DecodeError, EOFError, gzip.BadGzipFile) as error:
        raise DataLoss(f"{description}: {error}") from error
    finally:
        os.close(root)


def _contents(root: int, entry: _Entry) -> Iterator[bytes]:
    name = b64decode(entry.name_raw).decode("utf-8", "surrogateescape") if entry.name_raw else entry.name
    try:
        fd = open_in_root(root, name.lstrip("/"), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise DataLoss(f"{name}: {error.strerror}") from error
    with open(fd, "rb") as file:
        left = entry.size
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                raise DataLoss(f"{name} is shorter than its layer says")
            left -= len(data)
            yield data
