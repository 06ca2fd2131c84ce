"""A log file that is rotated by size: `name`, `name.1` (newest) … `name.<count-1>`, `.gz` where compressed."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Cut = Callable[[int], int]
    """From a position in the data to the first record's end at or behind it."""


class RotatingFile:
    """Append-only. A record is never torn apart by a rotation; a file is full once it has reached `limit` bytes.

    `limit` 0 never rotates. With `count` 1 the file starts afresh.
    """

    def __init__(self, path: str, limit: int, count: int, *, compress: bool) -> None:
        self.path, self.limit, self.count, self.compress = path, limit, max(1, count), compress
        self._fd = -1
        self._size = 0
        self._compressor = 0
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes, cut: Cut) -> None:
        while self.limit and self._size + len(data) > self.limit:
            if self._size >= self.limit:
                self._rotate()
                continue
            end = cut(self.limit - self._size)
            if end >= len(data):
                break
            self._append(data[:end])
            data = data[end:]
            shift, before = end, cut
            cut = _shifted(before, shift)
        self._append(data)

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

    def _rotate(self) -> None:
        self._await_compressor()
        os.close(self._fd)
        for number in range(self.count - 1, 0, -1):
            for suffix in ("", ".gz"):
                source = f"{self.path}.{number - 1}{suffix}" if number > 1 else self.path + suffix
                _replace(source, f"{self.path}.{number}{suffix}", f"{self.path}.{number}{'' if suffix else '.gz'}")
        if self.count == 1:
            _unlink(self.path)
        self._open()
        if self.compress and self.count > 1:
            self._compress(f"{self.path}.1")

    def _compress(self, path: str) -> None:
        """In a child of its own, for seconds of work must not stop the container's output."""
        self._compressor = os.fork()
        if self._compressor == 0:
            status = 1
            try:
                os.closerange(3, 1 << 20)  # else the container's stdin would stay open for as long as this takes
                os.nice(10)
                compress(path)
                status = 0
            finally:
                os._exit(status)

    def _await_compressor(self) -> None:
        pid, self._compressor = self._compressor, 0
        if pid:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass  # the shim's loop has reaped it

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._await_compressor()


def _shifted(cut: Cut, shift: int) -> Cut:
    return lambda position: cut(position + shift) - shift


def _replace(source: str, target: str, twin: str) -> None:
    try:
        os.rename(source, target)
    except FileNotFoundError:
        return
    _unlink(twin)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def compress(path: str) -> None:
    """Turn `path` into `path.gz`."""
    import zlib  # only where it is asked for

    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    with open(path, "rb") as source, open(f"{path}.gz.tmp", "wb") as target:
        os.fchmod(target.fileno(), 0o640)
        while chunk := source.read(1 << 18):
            target.write(packer.compress(chunk))
        target.write(packer.flush())
    os.rename(f"{path}.gz.tmp", f"{path}.gz")
    _unlink(path)


def files(path: str) -> list[str]:
    """The files of a rotated log that are there, oldest first; a compressed one counts where the plain one is gone."""
    directory, name = os.path.split(path)
    try:
        present = set(os.listdir(directory))
    except FileNotFoundError:
        return []
    numbers = {
        int(entry[len(name) + 1 :].removesuffix(".gz"))
        for entry in present
        if entry.startswith(f"{name}.") and entry[len(name) + 1 :].removesuffix(".gz").isdigit()
    }
    rotated = [f"{name}.{number}" for number in sorted(numbers, reverse=True)]
    names = [entry if entry in present else f"{entry}.gz" for entry in rotated]
    return [f"{directory}/{entry}" for entry in [*names, name] if entry in present]
