from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.client.http11 import (
    Body,
    Head,
    ProtocolError,
    chunk,
    parse_head,
    query_string,
    quote,
    request_head,
    split_head,
)
from sampan.rpc.frames import Demultiplexer


def test_head_is_complete_only_with_the_empty_line() -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-Y:  z \r\n\r\nrest"
    assert split_head(text[:40]) is None
    parts = split_head(text)
    assert parts is not None
    head, rest = parts
    assert (head.status, head.reason, head.headers, rest) == (200, "OK", {"content-type": "a/b", "x-y": "z"}, b"rest")


@pytest.mark.parametrize("text", [b"SSH-2.0-x", b"HTTP/2 200 OK", b"HTTP/1.1 abc", b""])
def test_other_protocols_are_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_head(text)


def test_a_head_has_a_limit() -> None:
    with pytest.raises(ProtocolError, match="too large"):
        split_head(b"x" * (1 << 20))


def test_request_head_takes_no_line_breaks() -> None:
    with pytest.raises(ProtocolError):
        request_head("GET", "/a\r\nX: y", {})
    with pytest.raises(ProtocolError):
        request_head("GET", "/a", {"X": "a\nb"})


def test_quoting() -> None:
    assert quote("/a b/ü?") == "/a%20b/%C3%BC%3F"
    assert query_string([("a", "b&c=d"), ("e", '{"x"}')]) == "a=b%26c%3Dd&e=%7B%22x%22%7D"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 17))
def test_chunked_bodies_in_any_pieces(parts: list[bytes], step: int) -> None:
    data = b"".join(map(chunk, parts)) + b"0\r\nTrailer: x\r\n\r\n"
    body = Body(Head(200, "", {"transfer-encoding": "chunked"}), "GET")
    out = b"".join(body.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert out == b"".join(parts)
    assert body.done


@given(st.lists(st.tuples(st.integers(1, 2), st.binary(max_size=40)), max_size=8), st.integers(1, 13))
def test_frames_in_any_pieces(frames: list[tuple[int, bytes]], step: int) -> None:
    data = b"".join(bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for stream, text in frames)
    demultiplexer, out = Demultiplexer(), {1: b"", 2: b""}
    for at in range(0, len(data), step):
        for stream, text in demultiplexer.feed(data[at : at + step]):
            out[stream] += text
    assert out == {stream: b"".join(text for number, text in frames if number == stream) for stream in (1, 2)}


def test_length_and_end_of_bodies() -> None:
    body = Body(Head(200, "", {"content-length": "3"}), "GET")
    assert body.feed(b"abcd") == b"abc"
    assert body.done
    cut = Body(Head(200, "", {"content-length": "3"}), "GET")
    cut.feed(b"a")
    with pytest.raises(ProtocolError, match="unexpected EOF"):
        cut.end()
    until_close = Body(Head(200, "", {}), "GET")
    assert until_close.feed(b"a") == b"a"
    until_close.end()
    assert until_close.done
    assert Body(Head(200, "", {"content-length": "9"}), "HEAD").done
    assert Body(Head(204, "", {}), "GET").done


def test_a_bad_chunk_size_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="bad chunk size"):
        Body(Head(200, "", {"transfer-encoding": "chunked"}), "GET").feed(b"zz\r\n")
