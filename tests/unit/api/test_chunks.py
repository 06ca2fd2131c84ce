"""Chunks that are joined say to h11 what they said apart."""

from __future__ import annotations

import random

import h11
import pytest

from sampan.api.chunks import ChunkJoiner

HEAD = b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"


def _heard(parts: list[bytes]) -> tuple[bytes, str, bytes]:
    """The body, how it ended, and what came behind it."""
    http = h11.Connection(h11.SERVER)
    http.receive_data(HEAD)
    assert isinstance(http.next_event(), h11.Request)
    body = b""
    for number, part in enumerate(parts, 1):
        if part:  # nothing would be the end of the connection
            http.receive_data(part)
        try:
            while isinstance(event := http.next_event(), h11.Data):
                body += bytes(event.data)
        except h11.RemoteProtocolError:
            return body, "error", b""
        if isinstance(event, h11.EndOfMessage):
            return body, f"end {event.headers!r}", http.trailing_data[0] + b"".join(parts[number:])
    return body, "more", b""


def _joined(parts: list[bytes]) -> list[bytes]:
    joiner, buffer, given = ChunkJoiner(), bytearray(), []
    for part in parts:
        buffer += part
        given.append(joiner.take(buffer))
    return [part for part in given if part]


def _chunk(source: random.Random) -> bytes:
    data = source.randbytes(source.choice((1, 2, 15, 300, 5000)))
    size = source.choice((b"%x", b"%X", b"00%x")) % len(data)
    return size + source.choice((b"",) * 20 + (b";a=b",)) + b"\r\n" + data + b"\r\n"


_ENDS = (
    b"0\r\n\r\n", b"0\r\nName: value\r\n\r\nGET", b"000\r\n\r\nnext", b"", b"5", b"zz\r\n", b"5\r\nhelloX\r\n",
    b"-1\r\n", b"fffffffffffffffffffff\r\n", b"\r\n\r\n", b"0;x\r\n\r\n",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_a_body_cut_anywhere(seed: int) -> None:
    source = random.Random(seed)
    data = b"".join(_chunk(source) for _ in range(source.randrange(12))) + source.choice(_ENDS)
    cuts = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(8)))
    parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    body, ended, rest = _heard([data])
    heard = _heard(_joined(parts))
    assert heard[1] == ended and body.startswith(heard[0])
    assert (heard[0] == body and heard[2] == rest) or not ended.startswith("end"), "nothing is lost, added or held back"


def test_many_chunks_become_few() -> None:
    data = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    assert [len(part) for part in _joined([data * 8])] == [8 * 0x8000 + len(b"40000\r\n\r\n")]
