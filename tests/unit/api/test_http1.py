"""HTTP/1.1 parsing: whole, in pieces, and malformed."""

from __future__ import annotations

import pytest

from sampan.api import http1
from sampan.api.http1 import Chunks, ProtocolError, take_head


def test_head_is_taken_when_complete() -> None:
    buffer = bytearray()
    for octet in b"POST /v1.51/x?y=%20 HTTP/1.1\r\nHost: d\r\nX-A: 1\r\nX-a: 2\r\nContent-Length: 3\r\n\r":
        buffer.append(octet)
        assert take_head(buffer) is None
    buffer += b"\nabc"
    head = take_head(buffer)
    assert head is not None
    assert (head.method, head.target, head.version) == ("POST", "/v1.51/x?y=%20", (1, 1))
    assert head.headers["x-a"] == "1,2"
    assert head.content_length == 3
    assert head.keep_alive
    assert buffer == b"abc"


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad name : x\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_malformed_heads_are_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        take_head(bytearray(text))


def test_head_without_end_is_bounded() -> None:
    with pytest.raises(ProtocolError):
        take_head(bytearray(b"GET /" + b"a" * (http1.MAX_HEAD + 1)))


@pytest.mark.parametrize("value", ["-1", "1x", "", "9" * 19, "٣"])
def test_content_length_is_a_number(value: str) -> None:
    head = http1.Head("POST", "/", (1, 1), {"content-length": value})
    with pytest.raises(ProtocolError):
        _ = head.content_length


def test_chunks_in_any_pieces() -> None:
    coded = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\nnext"
    for step in (1, 2, 7, len(coded)):
        chunks, buffer, out = Chunks(), bytearray(), b""
        for start in range(0, len(coded), step):
            buffer += coded[start : start + step]
            out += chunks.take(buffer)
        assert out == b"hello world"
        assert chunks.done
        assert buffer == b"next"


@pytest.mark.parametrize("coded", [b"x\r\n", b"-1\r\n", b"5\r\nhelloX\r\n", b"f" * 16 + b"\r\n", b"1" * 5000])
def test_malformed_chunks_are_refused(coded: bytes) -> None:
    chunks, buffer = Chunks(), bytearray(coded)
    with pytest.raises(ProtocolError):
        chunks.take(buffer)
        chunks.take(buffer)
