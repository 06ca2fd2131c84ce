"""The gelf driver: GELF 1.1 over udp (chunked, compressed) and tcp (0-terminated)."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Callable
from typing import Any

from sampan import errors
from sampan.model import quantity
from sampan.rpc import documents

from .info import LogInfo
from .sink import Address, Message, SocketSink, split_host_port
from .timestamps import rfc3339

CHUNK = 1420
"""Bytes of a datagram on a wide area network (Docker's GELF library)."""
_HEADER = 12
_MAX_CHUNKS = 128
_LEVELS = {1: 6, 2: 3}
_COMPRESSION = {"gzip": 31, "zlib": 15, "none": 0}


def address(config: dict[str, str]) -> Address:
    text = config.get("gelf-address", "")
    if not text:
        raise errors.InvalidArgument("gelf-address is a required parameter")
    scheme, _, rest = text.partition("://")
    if scheme not in ("udp", "tcp"):
        raise errors.InvalidArgument("gelf: endpoint needs to be TCP or UDP")
    try:
        return Address(scheme, split_host_port(rest, None))
    except ValueError:
        raise errors.InvalidArgument("gelf: please provide gelf-address as proto://host:port") from None


def validate_options(config: dict[str, str]) -> None:
    scheme = address(config).scheme
    kind = config.get("gelf-compression-type", "gzip")
    if kind not in _COMPRESSION:
        raise _unknown("gelf-compression-type", kind)
    for name in ("gelf-compression-type", "gelf-compression-level"):
        if name in config and scheme == "tcp":
            raise errors.InvalidArgument(f"unknown log opt '{name}' for gelf log driver with TCP")
    level = config.get("gelf-compression-level", "1")
    try:
        fits = -1 <= quantity.parse_int(level) <= 9
    except ValueError:
        fits = False
    if not fits:
        raise _unknown("gelf-compression-level", level)
    for name in ("gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"):
        if name in config and scheme == "udp":
            raise errors.InvalidArgument(f'"{name}" is only valid for TCP')


def _unknown(name: str, value: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f'unknown value "{value}" for log opt "{name}" for gelf log driver')


def fields(info: LogInfo, config: dict[str, str]) -> dict[str, Any]:
    """What every message says of its container."""
    extra = {
        "_container_id": info.container_id,
        "_container_name": info.name.removeprefix("/"),
        "_image_id": info.image_id,
        "_image_name": info.image_name,
        "_command": info.command,
        "_tag": info.tag(config),
        "_created": rfc3339(info.created).decode(),
    }
    return extra | {f"_{name}": value for name, value in info.attributes(config).items()}


def encoder(config: dict[str, str], info: LogInfo) -> Callable[[Message], bytes]:
    """One JSON document a message."""
    constant = {"version": "1.1", "host": socket.gethostname(), **fields(info, config)}

    def encode(message: Message) -> bytes:
        return documents.dumps(
            {
                **constant,
                "short_message": message.data.decode("utf-8", "replace"),
                "timestamp": message.timestamp_ns // 1_000_000 / 1000,
                "level": _LEVELS[message.stream],
            }
        ).encode()

    return encode


def compress(document: bytes, kind: str, level: int) -> bytes:
    if kind == "none":
        return document
    packer = zlib.compressobj(level, zlib.DEFLATED, _COMPRESSION[kind])
    return packer.compress(document) + packer.flush()


def chunks(payload: bytes) -> list[bytes]:
    """The datagrams of one message; one that would need more than 128 is cut off, for no server would join it."""
    if len(payload) <= CHUNK:
        return [payload]
    room = CHUNK - _HEADER
    parts = [payload[start : start + room] for start in range(0, len(payload), room)][:_MAX_CHUNKS]
    head = b"\x1e\x0f" + os.urandom(8)
    return [head + bytes((index, len(parts))) + part for index, part in enumerate(parts)]


def open_sink(config: dict[str, str], info: LogInfo) -> SocketSink:
    where = address(config)
    encode = encoder(config, info)
    kind = config.get("gelf-compression-type", "gzip")
    level = int(config.get("gelf-compression-level", "1"))
    if where.scheme == "tcp":
        sink = SocketSink(where, lambda message: [encode(message) + b"\0"], config)
    else:
        sink = SocketSink(where, lambda message: chunks(compress(encode(message), kind, level)), config)
    sink.connect()
    return sink
