"""The remote drivers against small servers on loopback."""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan import errors
from sampan.logs import gelf, journald, options, writers
from sampan.logs.info import LogInfo
from sampan.logs.lines import PIECE
from sampan.logs.sink import SocketSink

INFO = LogInfo(
    container_id="0123456789abcdef", name="/web", image_id="sha256:feed", image_name="nginx", entrypoint="run",
    args=["me"], created=1_700_000_000_000_000_000, labels={"team": "blue"}, env=["MODE=x"],
)  # fmt: skip
T = 1_700_000_000_123_456_789


def open_sink(tmp_path: Path, driver: str, config: dict[str, str]) -> SocketSink:
    config = {"cache-disabled": "true", **config}
    options.validate(driver, config)
    (sink,) = writers.open(driver, config, str(tmp_path), INFO)
    assert isinstance(sink, SocketSink)
    return sink


def pump(sink: SocketSink, until: Callable[[], bool], seconds: float = 10) -> None:
    """What the shim's loop does with a sink."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        fd, writing, due = sink.poll()
        poll = select.poll()
        if fd >= 0:
            poll.register(fd, select.POLLIN | (select.POLLOUT if writing else 0))
        poll.poll(min(50, due * 1000 if due >= 0 else 50))
        sink.ready()


def datagrams() -> tuple[socket.socket, str]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(10)
    return sock, f"udp://127.0.0.1:{sock.getsockname()[1]}"


def listener(port: int = 0) -> tuple[socket.socket, str]:
    sock = socket.create_server(("127.0.0.1", port))
    sock.settimeout(10)
    return sock, f"127.0.0.1:{sock.getsockname()[1]}"


def test_syslog_over_udp(tmp_path: Path) -> None:
    server, address = datagrams()
    with server:
        config = {"syslog-address": address, "tag": "{{.Name}}", "syslog-facility": "local3"}
        sink = open_sink(tmp_path, "syslog", config)
        sink.write(1, b"hello\nworld\n", T)
        sink.write(2, b"bad\n", T)
        pattern = rb"<%d>\w{3} [ \d]\d \d\d:\d\d:\d\d [\w.-]+ web\[\d+\]: %b\n"
        for priority, text in ((158, b"hello"), (158, b"world"), (155, b"bad")):
            assert re.fullmatch(pattern % (priority, text), server.recv(4096))
        for style, when in (("rfc5424", rb"2023-11-14T22:13:20Z"), ("rfc5424micro", rb"2023-11-14T22:13:20.123456Z")):
            other = open_sink(tmp_path, "syslog", {**config, "syslog-format": style})
            other.write(1, b"hello\n", T)
            assert re.fullmatch(rb"<158>1 %b [\w.-]+ web \d+ web - hello\n" % when, server.recv(4096))
            other.close()
        sink.close()


def test_syslog_over_tcp_comes_back_and_loses_no_line(tmp_path: Path) -> None:
    server, address = listener()
    sink = open_sink(tmp_path, "syslog", {"syslog-address": f"tcp://{address}"})
    peer, _ = server.accept()
    sink.write(1, b"one\n", T)
    assert b": one\n" in peer.recv(4096)
    peer.close()
    server.close()
    pump(sink, lambda: sink._sock is None)
    sink.write(1, b"two\n", T)
    assert not sink.drained()
    server, _ = listener(int(address.rpartition(":")[2]))
    with server:
        pump(sink, sink.drained)
        peer, _ = server.accept()
        with peer:
            assert b": two\n" in peer.recv(4096)
    sink.close()


def certified(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for localhost, and the certificate that clients have to trust."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def test_syslog_over_tls(tmp_path: Path) -> None:
    context, cert = certified(tmp_path)
    server, address = listener()
    got: list[bytes] = []

    def serve() -> None:
        peer, _ = server.accept()
        with context.wrap_socket(peer, server_side=True) as secure:
            while b"last" not in b"".join(got):
                got.append(secure.recv(4096))

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        where = f"tcp+tls://localhost:{address.rpartition(':')[2]}"
        config = {"syslog-address": where, "syslog-tls-ca-cert": str(cert), "syslog-format": "rfc5424"}
        sink = open_sink(tmp_path, "syslog", config)
        sink.write(1, b"first\nlast\n", T)
        pump(sink, sink.drained)
        thread.join(10)
        sink.close()
    text = b"".join(got)
    while text:
        size, _, rest = text.partition(b" ")
        assert rest[: int(size)].startswith(b"<30>1 ")
        text = rest[int(size) :]


def test_a_reconnect_waits_for_no_handshake(tmp_path: Path) -> None:
    """A service that takes the connection and says nothing must not hold up what the container writes."""
    context, cert = certified(tmp_path)
    server, address = listener()
    with server:
        where = f"tcp+tls://localhost:{address.rpartition(':')[2]}"
        first = threading.Thread(target=lambda: context.wrap_socket(server.accept()[0], server_side=True).close())
        first.start()
        sink = open_sink(tmp_path, "syslog", {"syslog-address": where, "syslog-tls-ca-cert": str(cert)})
        first.join(10)
        pump(sink, lambda: sink._handshake is not None)
        sink.write(1, b"kept\n", T)
        peer, _ = server.accept()
        got: list[bytes] = []

        def serve() -> None:
            with context.wrap_socket(peer, server_side=True) as secure:
                got.append(secure.recv(4096))

        second = threading.Thread(target=serve)
        second.start()
        pump(sink, sink.drained)
        second.join(10)
        sink.close()
    assert b": kept\n" in got[0]


def test_a_reconnect_looks_up_names_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, address = listener()
    port = int(address.rpartition(":")[2])
    sink = open_sink(tmp_path, "syslog", {"syslog-address": f"tcp://localhost:{port}"})
    server.accept()[0].close()
    look_up, here = socket.getaddrinfo, os.getpid()

    def only_beside(host: str, *rest: Any, flags: int = 0, **named: Any) -> Any:
        assert flags & socket.AI_NUMERICHOST or os.getpid() != here
        if not flags and not (tmp_path / "known").exists():
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return look_up(host, *rest, flags=flags, **named)

    monkeypatch.setattr(socket, "getaddrinfo", only_beside)
    pump(sink, lambda: sink._lookup is not None)
    pump(sink, lambda: sink._lookup is None)  # it has no answer, and tries again
    (tmp_path / "known").touch()
    sink.write(1, b"kept\n", T)
    with server:
        pump(sink, sink.drained)
        with server.accept()[0] as peer:
            assert b": kept\n" in peer.recv(4096)
    sink.close()


def test_gelf_over_udp(tmp_path: Path) -> None:
    server, address = datagrams()
    with server:
        sink = open_sink(tmp_path, "gelf", {"gelf-address": address, "labels": "team", "env": "MODE"})
        sink.write(2, b"oh no\n", T)
        document = json.loads(gzip.decompress(server.recv(65536)))
        sink.close()
        assert document.pop("host")
        assert document == {
            "version": "1.1", "short_message": "oh no", "timestamp": 1_700_000_000.123, "level": 3,
            "_container_id": "0123456789abcdef", "_container_name": "web", "_image_id": "sha256:feed",
            "_image_name": "nginx", "_command": "run me", "_tag": "0123456789ab", "_created": "2023-11-14T22:13:20Z",
            "_team": "blue", "_MODE": "x",
        }  # fmt: skip
        plain = open_sink(tmp_path, "gelf", {"gelf-address": address, "gelf-compression-type": "none"})
        plain.write(1, b"y" * 9000 + b"\n", T)
        parts = {}
        while not parts or len(parts) < parts[0][11]:
            chunk = server.recv(65536)
            assert chunk[:2] == b"\x1e\x0f" and len(chunk) <= gelf.CHUNK
            parts[chunk[10]] = chunk
        plain.close()
    joined = b"".join(parts[index][12:] for index in sorted(parts))
    assert json.loads(joined)["short_message"] == "y" * 9000
    assert zlib.decompress(gelf.compress(b"x", "zlib", 1)) == b"x"


def test_gelf_over_tcp(tmp_path: Path) -> None:
    server, address = listener()
    with server:
        sink = open_sink(tmp_path, "gelf", {"gelf-address": f"tcp://{address}"})
        peer, _ = server.accept()
        with peer:
            sink.write(1, b"a\nb\n", T)
            first, second, rest = peer.recv(65536).split(b"\0")
        sink.close()
    assert [json.loads(first)["short_message"], json.loads(second)["short_message"], rest] == ["a", "b", b""]


def test_fluentd_with_pieces_of_a_long_line(tmp_path: Path) -> None:
    server, address = listener()
    with server:
        config = {"fluentd-address": address, "tag": "app.{{.Name}}", "fluentd-sub-second-precision": "true"}
        sink = open_sink(tmp_path, "fluentd", config)
        peer, _ = server.accept()
        peer.settimeout(10)
        with peer:
            sink.write(1, b"short\n" + b"l" * PIECE + b"ong\n", T)
            data = b""
            records: list[Any] = []
            while len(records) < 3:
                data += peer.recv(65536)
                try:
                    records = _stream(data)
                except msgspec.DecodeError:
                    continue
        sink.close()
    tag, when, record = records[0]
    assert tag == "app.web"
    assert bytes(when.data) == (1_700_000_000).to_bytes(4, "big") + (123_456_789).to_bytes(4, "big")
    assert record == {"container_id": "0123456789abcdef", "container_name": "/web", "source": "stdout", "log": "short"}
    pieces = [entry[2] for entry in records[1:]]
    assert [piece["log"] for piece in pieces] == ["l" * PIECE, "ong"]
    assert [(piece["partial_ordinal"], piece["partial_last"]) for piece in pieces] == [("1", "false"), ("2", "true")]


def _stream(data: bytes) -> list[Any]:
    """The msgpack values of a stream; each of ours begins with a 3-array."""
    starts = [match.start() for match in re.finditer(re.escape(b"\x93\xa7app.web"), data)]
    return [msgspec.msgpack.decode(data[a:b]) for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def test_journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "journal")
    monkeypatch.setattr(journald, "SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(10)
        sink = open_sink(tmp_path, "journald", {"labels": "team"})
        sink.write(2, b"text\n", T)
        fields = dict(line.split(b"=", 1) for line in server.recv(65536).splitlines())
        sink.close()
    assert fields[b"MESSAGE"] == b"text" and fields[b"PRIORITY"] == b"3"
    assert fields[b"CONTAINER_ID"] == b"0123456789ab" and fields[b"CONTAINER_NAME"] == b"web"
    assert fields[b"TEAM"] == b"blue"
    assert journald.field("A", b"x\ny") == b"A\n\x03\0\0\0\0\0\0\0x\ny\n"


def test_a_slow_service_holds_back_or_drops_by_mode(tmp_path: Path) -> None:
    server, address = listener()
    with server:
        line = b"z" * 1000 + b"\n"
        slow = open_sink(tmp_path, "syslog", {"syslog-address": f"tcp://{address}"})
        first, _ = server.accept()
        written = 0
        while not slow.full:
            slow.write(1, line * 50, T)
            written += 50
        config = {"syslog-address": f"tcp://{address}", "mode": "non-blocking", "max-buffer-size": "64k"}
        loose = open_sink(tmp_path, "syslog", config)
        second, _ = server.accept()
        for _ in range(20_000):
            loose.write(1, line, T)
        assert not loose.full and loose.dropped > 0
        with first, second:
            first.setblocking(False)
            received = b""

            def drained() -> bool:
                nonlocal received
                while chunk := _try_recv(first):
                    received += chunk
                return slow.drained()

            pump(slow, drained)
            drained()
        assert received.count(b"\n") == written  # nothing is lost in blocking mode
        slow.close()
        loose.close()


def _try_recv(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize(
    ("driver", "config"),
    [
        ("syslog", {"syslog-address": "tcp://127.0.0.1:1"}),
        ("gelf", {"gelf-address": "tcp://127.0.0.1:1"}),
        ("fluentd", {"fluentd-address": "127.0.0.1:1"}),
    ],
)
def test_a_service_that_is_not_there_keeps_the_container_from_starting(
    tmp_path: Path, driver: str, config: dict[str, str]
) -> None:
    with pytest.raises(errors.Unavailable, match=r"dial tcp 127.0.0.1:1: connect: connection refused"):
        open_sink(tmp_path, driver, config)


def test_fluentd_async_waits_for_its_service(tmp_path: Path) -> None:
    server, address = listener()
    server.close()
    sink = open_sink(tmp_path, "fluentd", {"fluentd-address": address, "fluentd-async": "true"})
    sink.write(1, b"early\n", T)
    server, _ = listener(int(address.rpartition(":")[2]))
    with server:
        pump(sink, sink.drained)
    sink.close()


@pytest.mark.parametrize(
    ("driver", "config", "text"),
    [
        ("syslog", {"syslog-address": "http://x"}, "unsupported scheme"),
        ("syslog", {"syslog-facility": "nope"}, "invalid syslog facility"),
        ("syslog", {"syslog-facility": "02399"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "nope"}, "Invalid syslog format"),
        ("syslog", {"labels-regex": "("}, "error parsing regexp"),
        ("json-file", {"env-regex": "[z-a]"}, "error parsing regexp"),
        ("gelf", {"gelf-address": "x"}, "endpoint needs to be TCP or UDP"),
        (
            "gelf",
            {"gelf-address": "udp://a:1", "gelf-compression-level": "99"},
            'unknown value "99" for log opt "gelf-compression-level"',
        ),
        ("gelf", {"gelf-address": "udp://a:1", "gelf-compression-level": "²"}, 'unknown value "²"'),
        ("fluentd", {"fluentd-address": "ftp://x"}, "unsupported scheme"),
    ],
)
def test_wrong_addresses_are_refused(driver: str, config: dict[str, str], text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=text):
        options.validate(driver, config)


def test_remote_drivers_keep_a_readable_copy(tmp_path: Path) -> None:
    server, address = datagrams()
    with server:
        opened = writers.open("syslog", {"syslog-address": address}, str(tmp_path), INFO)
        for writer in opened:
            writer.write(1, b"kept\n", T)
            writer.close()
    assert len(opened) == 2
    assert b"kept" in Path(writers.path("syslog", str(tmp_path), INFO.container_id)).read_bytes()
