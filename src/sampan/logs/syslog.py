"""The syslog driver: RFC 3164 and RFC 5424 over udp, tcp, tcp+tls, unix and unixgram, as Docker frames them."""

from __future__ import annotations

import os
import socket
import time

from sampan import errors

from . import options as opts
from .info import LogInfo
from .sink import Address, Encoder, Message, SocketSink, Wrap, split_host_port

_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
_SEVERITIES = {1: 6, 2: 3}
"""stdout is informational, stderr an error."""
_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
_SCHEMES = ("udp", "tcp", "tcp+tls", "unix", "unixgram")
_LOCAL = ("/dev/log", "/var/run/syslog", "/var/run/log")


def address(text: str) -> Address:
    """From `syslog-address`; empty is the machine's own syslog."""
    if not text:
        found = next((path for path in _LOCAL if os.path.exists(path)), _LOCAL[0])
        return Address("unixgram", found)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise errors.InvalidArgument(f"unsupported scheme: '{scheme if separator else ''}'")
    if scheme.startswith("unix"):
        if not os.path.exists(rest):
            raise errors.InvalidArgument(f"stat {rest}: no such file or directory")
        return Address(scheme, rest)
    try:
        return Address(scheme, split_host_port(rest, 514))
    except ValueError as error:
        raise errors.InvalidArgument(f"syslog-address: {error}") from error


def facility(text: str) -> int:
    if not text:
        return _FACILITIES.index("daemon")
    if text in _FACILITIES:
        return _FACILITIES.index(text)
    if text.isascii() and text.isdigit() and len(text) < 3 and int(text) < len(_FACILITIES):
        return int(text)
    raise errors.InvalidArgument("invalid syslog facility")


def validate_options(config: dict[str, str]) -> None:
    address(config.get("syslog-address", ""))
    facility(config.get("syslog-facility", ""))
    if config.get("syslog-format", "") not in _FORMATS:
        raise errors.InvalidArgument("Invalid syslog format")


def encoder(config: dict[str, str], info: LogInfo, where: Address) -> Encoder:
    """Messages as Docker formats them; on streams RFC 5424 over TLS counts octets, all else ends with a newline."""
    base = facility(config.get("syslog-facility", "")) * 8
    tag, host, pid = info.tag(config).encode(), socket.gethostname().encode(), os.getpid()
    style = config.get("syslog-format", "")
    counted = style.startswith("rfc5424") and where.scheme == "tcp+tls"

    def encode(message: Message) -> list[bytes]:
        priority = base + _SEVERITIES[message.stream]
        if style.startswith("rfc5424"):
            when = _rfc5424_time(message.timestamp_ns, micro=style.endswith("micro"))
            line = b"<%d>1 %b %b %b %d %b - %b" % (priority, when, host, tag, pid, tag, message.data)
        else:
            seconds = time.localtime(message.timestamp_ns // 1_000_000_000)
            when = time.strftime("%b %e %H:%M:%S", seconds).encode()
            name = b"" if where.scheme.startswith("unix") and not style else host + b" "
            line = b"<%d>%b %b%b[%d]: %b" % (priority, when, name, tag, pid, message.data)
        if counted:
            return [b"%d %b" % (len(line), line)]
        return [line + b"\n"]

    return encode


def _rfc5424_time(timestamp_ns: int, *, micro: bool) -> bytes:
    seconds, fraction = divmod(timestamp_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return (f"{text}.{fraction // 1000:06d}Z" if micro else f"{text}Z").encode()


def _tls(config: dict[str, str]) -> Wrap:
    import ssl  # 3 MB, for this scheme only

    context = ssl.create_default_context(cafile=config.get("syslog-tls-ca-cert") or None)
    if opts.flag(config, "syslog-tls-skip-verify", default=False):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if config.get("syslog-tls-cert"):
        context.load_cert_chain(config["syslog-tls-cert"], config.get("syslog-tls-key") or None)
    return lambda sock, host: context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)


def open_sink(config: dict[str, str], info: LogInfo) -> SocketSink:
    where = address(config.get("syslog-address", ""))
    wrap = _tls(config) if where.scheme == "tcp+tls" else None
    sink = SocketSink(where, encoder(config, info, where), config, wrap)
    sink.connect()
    return sink
