"""Docker's json-file format, one object a line:

{"log":"text\\n","stream":"stdout","attrs":{…},"time":"2026-01-02T03:04:05.000000006Z"}
"""

from __future__ import annotations

from sampan.rpc import documents

from .lines import LineSplitter, Segment
from .rotation import RotatingFile
from .timestamps import rfc3339

_CONTROLS = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
_CONTROL_ESCAPES = [(bytes((code,)), b"\\u%04x" % code) for code in _CONTROLS]
_REPLACED = (
    (b"\\", b"\\\\"), (b'"', b'\\"'), (b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"),
    (b"\r", b"\\r"), (b"\t", b"\\u0009"),
)  # fmt: skip
_STREAMS = {1: b"stdout", 2: b"stderr"}


def escape(data: bytes) -> bytes:
    """The inside of a JSON string as Docker writes it (moby jsonlogbytes.go), but newlines as they are.

    Bytes that are not UTF-8 become `\\ufffd`, each one.
    """
    for plain, escaped in _REPLACED:
        data = data.replace(plain, escaped)
    if len(data.translate(None, _CONTROLS)) < len(data):
        for plain, escaped in _CONTROL_ESCAPES:  # six times faster than one re.sub when there are many
            data = data.replace(plain, escaped)
    return data if data.isascii() else _escape_wide(data)


def _escape_wide(data: bytes) -> bytes:
    data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    text = data.decode("utf-8", "surrogateescape")
    try:
        return text.encode()
    except UnicodeEncodeError:
        # "replace" turns each byte that was no UTF-8 into "?". No "<" is left in the text, so it stands in for the
        # genuine ones: all of it runs in C.
        replaced = text.replace("?", "<").encode("utf-8", "replace")
        return replaced.replace(b"?", b"\\ufffd").replace(b"<", b"?")


class JsonFileWriter:
    """Writes `path`; `attrs` go on every line."""

    full = False

    def __init__(self, path: str, limit: int, count: int, *, compress: bool, attrs: dict[str, str]) -> None:
        self._file = RotatingFile(path, limit, count, compress=compress)
        self._attrs = b'"attrs":' + documents.dumps(dict(sorted(attrs.items()))).encode() + b"," if attrs else b""
        self._splitters = {stream: LineSplitter() for stream in _STREAMS}

    @property
    def pending(self) -> bool:
        """Whether a line has begun."""
        return any(splitter.pending for splitter in self._splitters.values())

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
