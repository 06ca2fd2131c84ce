"""Docker's json-file format, one object a line:

{"log":"text\\n","stream":"stdout","attrs":{…},"time":"2026-01-02T03:04:05.000000006Z"}
"""

from __future__ import annotations

import re

import msgspec

from .lines import LineSplitter, Segment
from .rotation import RotatingFile
from .timestamps import rfc3339

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_UNSAFE = re.compile("[\udc80-\udcff\u2028\u2029]")
_REPLACED = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_STREAMS = {1: b"stdout", 2: b"stderr"}


def escape(data: bytes) -> bytes:
    """The inside of a JSON string as Docker writes it (moby jsonlogbytes.go), but newlines as they are.

    Bytes that are not UTF-8 become `\\ufffd`, each one.
    """
    if not data.isascii():
        text = data.decode("utf-8", "surrogateescape")
        if _UNSAFE.search(text):
            return b"".join(_escape_rare(text))
        data = text.encode()
    return _escape_ascii(data)


def _escape_ascii(data: bytes) -> bytes:
    for plain, escaped in _REPLACED:
        data = data.replace(plain, escaped)
    data = data.replace(b"\r", b"\\r").replace(b"\t", b"\\u0009")
    if _CONTROL.search(data):
        data = _CONTROL.sub(lambda match: b"\\u%04x" % match[0][0], data)
    return data


def _escape_rare(text: str) -> list[bytes]:
    parts = []
    position = 0
    for match in _UNSAFE.finditer(text):
        parts.append(_escape_ascii(text[position : match.start()].encode()))
        parts.append(b"\\ufffd" if match[0] >= "\udc80" and match[0] <= "\udcff" else b"\\u%04x" % ord(match[0]))
        position = match.end()
    parts.append(_escape_ascii(text[position:].encode()))
    return parts


class JsonFileWriter:
    """Writes `path`; `attrs` go on every line."""

    full = False

    def __init__(self, path: str, limit: int, count: int, *, compress: bool, attrs: dict[str, str]) -> None:
        self._file = RotatingFile(path, limit, count, compress=compress)
        self._attrs = b'"attrs":' + msgspec.json.encode(dict(sorted(attrs.items()))) + b"," if attrs else b""
        self._splitters = {stream: LineSplitter() for stream in _STREAMS}

    def write(self, stream: int, data: bytes, timestamp_ns: int) -> None:
        lines = [self._encode(stream, segment) for segment in self._splitters[stream].feed(data, timestamp_ns)]
        if lines:
            self._append(lines[0] if len(lines) == 1 else b"".join(lines))

    def end(self, stream: int, timestamp_ns: int) -> None:
        rest = self._splitters[stream].end(timestamp_ns)
        if rest is not None:
            self._append(self._encode(stream, rest))

    def _append(self, data: bytes) -> None:
        self._file.write(data, lambda position: data.index(b"\n", max(0, position - 1)) + 1)

    def _encode(self, stream: int, segment: Segment) -> bytes:
        tail = b'","stream":"%b",%b"time":"%b"}\n' % (_STREAMS[stream], self._attrs, rfc3339(segment.timestamp))
        text = escape(segment.data)
        if not text.endswith(b"\n"):
            return b'{"log":"' + text + tail
        return b'{"log":"' + text[:-1].replace(b"\n", b"\\n" + tail + b'{"log":"') + b"\\n" + tail

    def close(self) -> None:
        self._file.close()
