from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os

import pytest
import zstandard

from sampan.cas.compression import CHUNK, Compressor, Decompressed, Limits, ReadAhead
from sampan.errors import DataLoss, InvalidArgument

DATA = os.urandom(1000) * 3000
PACKED = {
    "": DATA,
    "gzip": gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]) + b"\0" * 512,
    "zstd": zstandard.compress(DATA[:1000]) + zstandard.compress(DATA[1000:]),
    "xz": lzma.compress(DATA),
    "bzip2": bz2.compress(DATA[:5000]) + bz2.compress(DATA[5000:]),
}


def read_all(stream: Decompressed | ReadAhead) -> bytes:
    return b"".join(iter(lambda: stream.read(70_000), b""))


@pytest.mark.parametrize("name", PACKED)
def test_every_compression_is_detected_and_read(name: str) -> None:
    stream = Decompressed(io.BytesIO(PACKED[name]))
    assert stream.compression == name
    assert read_all(stream) == DATA


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2"])
def test_truncated_and_damaged_data_is_an_error(name: str) -> None:
    whole = PACKED[name].rstrip(b"\0")
    with pytest.raises(DataLoss):
        read_all(Decompressed(io.BytesIO(whole[: len(whole) // 2])))
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 0xFF
    with pytest.raises((DataLoss, OSError)):
        read_all(Decompressed(io.BytesIO(bytes(damaged))))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
def test_a_bomb_is_stopped_early(pack: object) -> None:
    bomb = io.BytesIO(pack(bytes(40 << 20)))  # type: ignore[operator]
    stream = Decompressed(bomb, Limits(max_bytes=1 << 40, max_ratio=100, ratio_floor=1 << 20))
    with pytest.raises(InvalidArgument, match="expands"):
        read_all(stream)
    assert stream.bytes_out < 8 << 20
    bomb.seek(0)
    with pytest.raises(InvalidArgument, match="larger"):
        read_all(Decompressed(bomb, Limits(max_bytes=2 << 20)))


def test_read_ahead_gives_exact_sizes_and_passes_errors_on() -> None:
    with ReadAhead(io.BytesIO(DATA)) as stream:
        assert stream.read(512) == DATA[:512]
        assert stream.read(2 * CHUNK) == DATA[512 : 512 + 2 * CHUNK]
        assert stream.read() == DATA[512 + 2 * CHUNK :]
        assert stream.read(1) == b""
    with ReadAhead(Decompressed(io.BytesIO(PACKED["gzip"][:500]))) as broken, pytest.raises(DataLoss):
        broken.read()
    with ReadAhead(io.BytesIO(DATA * 3), depth=1):
        pass  # closing early ends the thread


def test_our_gzip_is_read_by_the_standard_library() -> None:
    packer = Compressor()
    packed = packer.compress(DATA) + packer.flush()
    assert gzip.decompress(packed) == DATA
