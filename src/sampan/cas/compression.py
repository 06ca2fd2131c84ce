"""Compression of layers: detection, bounded decompression, and compression with isal.

Memory stays flat whatever the input: every decoder is driven with an output limit (S17).
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Protocol, cast

from msgspec import Struct

from ..errors import DataLoss, InvalidArgument, SampanError

CHUNK = 1 << 20
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bzip2"))


class Readable(Protocol):
    """Something to read bytes from; `b""` is the end."""

    def read(self, size: int, /) -> bytes: ...


class Limits(Struct, frozen=True):
    """Caps on what one stream may grow to. The ratio counts only beyond `ratio_floor` bytes of output."""

    max_bytes: int = 256 << 30
    max_ratio: int = 500
    ratio_floor: int = 1 << 30


DEFAULT_LIMITS = Limits()


def detect(head: bytes) -> str:
    """`gzip`, `zstd`, `xz`, `bzip2`, or empty for anything else, from the first six bytes."""
    if head[:4] in {bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60)}:
        return "zstd"  # a skippable frame first, as zstd:chunked and estargz writers may do (RFC 8878, 3.1.2)
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


class _Decoder(Protocol):
    """As of bz2 and lzma: at most `size` bytes out, input kept inside until consumed."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, size: int, /) -> bytes: ...


class _Gzip:
    """isal's gzip decoder with the interface of bz2's."""

    def __init__(self) -> None:
        from isal import isal_zlib

        self._decoder = isal_zlib.decompressobj(wbits=31)
        self.eof = False
        self.unused_data = b""
        self.needs_input = True

    def decompress(self, data: bytes, size: int) -> bytes:
        output = self._decoder.decompress(self._decoder.unconsumed_tail + data, size)
        self.eof = self._decoder.eof
        self.unused_data = self._decoder.unused_data
        self.needs_input = not self._decoder.unconsumed_tail and len(output) < size
        return output


def _decoder(name: str) -> _Decoder:
    if name == "gzip":
        return _Gzip()
    if name == "xz":
        import lzma

        return lzma.LZMADecompressor(memlimit=256 << 20)
    import bz2

    return bz2.BZ2Decompressor()


class Decompressed:
    """A stream of the decompressed bytes; a stream that is not compressed passes through.

    Concatenated members and frames are read on, trailing zeroes ignored, as the tools do. Raises DataLoss for damaged
    input and InvalidArgument beyond the limits.
    """

    def __init__(self, source: Readable, limits: Limits = DEFAULT_LIMITS) -> None:
        self._source = Peekable(source)
        self._limits = limits
        head = self._source.peek(6)
        self.compression = detect(head)
        self._read = self._open()
        self.bytes_out = 0

    def _open(self) -> Callable[[int], bytes]:
        if not self.compression:
            return self._source.read
        if self.compression == "zstd":
            import zstandard

            decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27)
            source = cast(IO[bytes], self._source)  # read() is all that it calls
            return decoder.stream_reader(source, read_across_frames=True, read_size=CHUNK // 4).read
        return _Members(self._source, self.compression).read

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes; empty at the end."""
        try:
            chunk = self._read(size)
        except (SampanError, OSError, ValueError):
            raise
        except Exception as error:
            raise DataLoss(f"damaged {self.compression} data: {error}") from error
        self.bytes_out += len(chunk)
        self._check()
        return chunk

    def _check(self) -> None:
        if self.bytes_out > self._limits.max_bytes:
            raise InvalidArgument(f"layer is larger than {self._limits.max_bytes} bytes")
        ratio_matters = self.compression and self.bytes_out > self._limits.ratio_floor
        if ratio_matters and self.bytes_out > self._source.count * self._limits.max_ratio:
            raise InvalidArgument(f"layer expands more than {self._limits.max_ratio} times")


class Peekable:
    """Counts what is read, and can look at the first bytes without consuming them."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._head = b""
        self.count = 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end; once, before the first read."""
        while len(self._head) < size and (more := self._source.read(size - len(self._head))):
            self._head += more
        return self._head

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        data, self._head = self._head, b""
        data = data or self._source.read(CHUNK if size < 0 else size)
        self.count += len(data)
        return data


class _Members:
    """gzip, xz or bzip2 members, one after another."""

    def __init__(self, source: Peekable, name: str) -> None:
        self._source = source
        self._name = name
        self._decoder = _decoder(name)
        self._pending = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        while not self._ended:
            if self._decoder.eof and not self._next_member():
                break
            feed = b""
            if self._decoder.needs_input:
                feed = self._pending or self._source.read(CHUNK // 4)
                self._pending = b""
                if not feed:
                    raise DataLoss(f"unexpected end of {self._name} data")
            if output := self._decoder.decompress(feed, size):
                return output
        self._ended = True
        return b""

    def _next_member(self) -> bool:
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest and (more := self._source.read(CHUNK // 4)):
            rest = more.lstrip(b"\0")
        if not rest:
            return False
        self._pending = rest
        self._decoder = _decoder(self._name)
        return True


class Hashed:
    """Passes a stream on and knows the digest of what went through."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._hasher = hashlib.sha256()
        self.size = 0

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes."""
        chunk = self._source.read(size)
        self._hasher.update(chunk)
        self.size += len(chunk)
        return chunk

    def drain(self) -> None:
        """Read to the end: tar readers stop at the end mark, digests do not."""
        while self.read(CHUNK):
            pass

    @property
    def digest(self) -> str:
        """The sha256 digest so far."""
        return "sha256:" + self._hasher.hexdigest()


class ReadAhead:
    """Reads a source in a thread of its own, a few chunks ahead: decompression beside unpacking.

    `read(n)` returns exactly n bytes unless the stream ends. The source's exception is raised by `read`. `close` ends
    the thread.
    """

    def __init__(self, source: Readable, depth: int = 4) -> None:
        self._source = source
        self._chunks: queue.Queue[bytes | BaseException] = queue.Queue(depth)
        self._closed = False
        self._left = memoryview(b"")
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._closed:
                chunk = self._source.read(CHUNK)
                self._chunks.put(chunk)
                if not chunk:
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the reader
            self._chunks.put(error)

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end; everything when negative."""
        if 0 <= size <= len(self._left):
            data, self._left = self._left[:size], self._left[size:]
            return bytes(data)
        parts, wanted = [], size if size >= 0 else 1 << 62
        while wanted and self._fill():
            parts.append(self._left[:wanted])
            self._left = self._left[len(parts[-1]) :]
            wanted -= len(parts[-1])
        if len(parts) == 1 and isinstance(whole := parts[0].obj, bytes) and len(whole) == len(parts[0]):
            return whole  # most reads take a chunk as it came
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end, so that whatever checks the end has its say."""
        self._left = memoryview(b"")
        while self._fill():
            self._left = memoryview(b"")

    def _fill(self) -> bool:
        if self._left:
            return True
        if self._ended:
            return False
        item = self._chunks.get()
        if isinstance(item, BaseException):
            self._ended = True
            raise item
        self._left = memoryview(item)
        self._ended = not item
        return not self._ended

    def close(self) -> None:
        """End the thread, whatever it still had to read."""
        self._closed = True
        while self._thread.is_alive():
            try:
                self._chunks.get(timeout=0.05)
            except queue.Empty:
                pass
        self._thread.join()

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pipe:
    """Chunks from one thread to another, a few at most under way."""

    def __init__(self, depth: int = 4) -> None:
        self._chunks: queue.Queue[bytes | BaseException] = queue.Queue(depth)
        self._left = b""
        self._ended = self._abandoned = self._interrupted = False

    def write(self, chunk: bytes) -> None:
        """Pass a chunk on, waiting for room; BrokenPipeError where nobody reads any more."""
        if self._interrupted:
            raise InterruptedError
        if self._abandoned:
            raise BrokenPipeError
        if chunk:
            self._chunks.put(chunk)

    def end(self) -> None:
        """There are no more."""
        if not self._abandoned:
            self._chunks.put(b"")

    def fail(self, error: BaseException) -> None:
        """There are no more, and what came is not whole: the reader gets the error."""
        if not self._abandoned:
            self._chunks.put(error)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        if not self._left and not self._ended:
            item = self._chunks.get()
            if isinstance(item, BaseException):
                raise item
            self._left, self._ended = item, not item
        data, self._left = self._left[:size], self._left[size:]
        return data

    def interrupt(self) -> None:
        """Make the writer give up: InterruptedError."""
        self._interrupted = True

    def abandon(self) -> None:
        """Nobody reads any more; a writer that waits goes on."""
        self._abandoned = True
        with suppress(queue.Empty):
            while True:
                self._chunks.get_nowait()


class Compressor:
    """gzip through isal at level 1: five to ten times zlib's speed, deterministic (no time, no name)."""

    def __init__(self, level: int = 1) -> None:
        from isal import isal_zlib

        self._encoder = isal_zlib.compressobj(level, wbits=31)

    def compress(self, data: bytes) -> bytes:
        """Compressed bytes that are ready; may be empty."""
        return self._encoder.compress(data)

    def flush(self) -> bytes:
        """The end of the member."""
        return self._encoder.flush()
