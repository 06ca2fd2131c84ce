"""The journald driver: systemd's native protocol over a datagram socket (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

from __future__ import annotations

from sampan import errors

from .info import LogInfo
from .sink import Address, Encoder, Message, SocketSink
from .timestamps import rfc3339

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {1: b"6", 2: b"3"}


def field_name(name: str) -> str:
    """A name that journald takes: upper case, letters, digits and underscores, no underscore first."""
    changed = "".join(char if char.isascii() and char.isalnum() else "_" for char in name.upper())
    return changed.lstrip("_")


def field(name: str, value: bytes) -> bytes:
    """`NAME=value`, or with the length in front where the value has newlines."""
    if b"\n" in value:
        return b"%b\n%b%b\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
    return b"%b=%b\n" % (name.encode(), value)


def encoder(config: dict[str, str], info: LogInfo) -> Encoder:
    """The fields of one message, those of the container first."""
    tag = info.tag(config)
    values = {
        "CONTAINER_ID": info.container_id[:12],
        "CONTAINER_ID_FULL": info.container_id,
        "CONTAINER_NAME": info.name.removeprefix("/"),
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": info.image_name,
        "SYSLOG_IDENTIFIER": tag,
    }
    values |= {field_name(name): value for name, value in info.attributes(config).items()}
    constant = b"".join(field(name, value.encode("utf-8", "surrogateescape")) for name, value in values.items())

    def encode(message: Message) -> list[bytes]:
        parts = [constant, field("PRIORITY", _PRIORITIES[message.stream])]
        parts.append(field("SYSLOG_TIMESTAMP", rfc3339(message.timestamp_ns)))
        if message.partial is not None:
            if not message.partial.last:
                parts.append(field("CONTAINER_PARTIAL_MESSAGE", b"true"))
            parts.append(field("CONTAINER_PARTIAL_ID", message.partial.id.encode()))
            parts.append(field("CONTAINER_PARTIAL_ORDINAL", str(message.partial.ordinal).encode()))
            parts.append(field("CONTAINER_PARTIAL_LAST", b"true" if message.partial.last else b"false"))
        parts.append(field("MESSAGE", message.data))
        return [b"".join(parts)]

    return encode


def open_sink(config: dict[str, str], info: LogInfo) -> SocketSink:
    sink = SocketSink(Address("unixgram", SOCKET), encoder(config, info), config)
    try:
        sink.connect()
    except errors.Unavailable:
        raise errors.Unavailable("journald is not enabled on this host") from None
    return sink
