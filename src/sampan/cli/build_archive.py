"""A build context as a tar stream, for what a manifest cannot say (build_sync.py)."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Iterator
from typing import BinaryIO

from sampan.dockerfile.ignore import IgnoreRules

from .build_context import entries
from .command import CommandFailed


class Context:
    """`chunks()` packs in a thread while the request is sent."""

    def __init__(self, directory: str, rules: IgnoreRules, extra: dict[str, bytes]) -> None:
        self._directory, self._rules, self._extra = directory, rules, extra
        self._error: OSError | None = None

    def chunks(self) -> Iterator[bytes]:
        read_end, write_end = os.pipe()
        thread = threading.Thread(target=self._write, args=(write_end,), daemon=True)
        thread.start()
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 16):
                yield data
        thread.join()
        if self._error is not None:
            raise CommandFailed(f"error from sender: {self._error.filename}: {self._error.strerror}")

    def _write(self, write_end: int) -> None:
        try:
            with os.fdopen(write_end, "wb") as pipe:
                self._pack(pipe)
        except BrokenPipeError:
            return  # the daemon has refused the rest, and says so
        except OSError as error:
            self._error = error

    def _pack(self, pipe: BinaryIO) -> None:
        with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in entries(self._directory, self._rules):
                full = os.path.join(self._directory, path)
                if not _is_socket(full):
                    archive.add(full, path, recursive=False, filter=_anonymous)
            for name, content in self._extra.items():
                archive.addfile(*_memory_file(name, content))


def _is_socket(path: str) -> bool:
    import stat

    return stat.S_ISSOCK(os.lstat(path).st_mode)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owners of the sending machine mean nothing in an image."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _memory_file(name: str, content: bytes) -> tuple[tarfile.TarInfo, BinaryIO]:
    import io

    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    return member, io.BytesIO(content)
