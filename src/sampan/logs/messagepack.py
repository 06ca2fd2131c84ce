"""MessagePack (github.com/msgpack/msgpack, spec.md), as much of it as the forward protocol of fluentd needs.

By hand, for the shim that writes the logs has no packages but this one.
"""

from __future__ import annotations

from collections.abc import Sequence


def text(value: str) -> bytes:
    """`str`, in its shortest form."""
    data = value.encode()
    size = len(data)
    if size < 32:
        return bytes((0xA0 | size,)) + data
    if size < 1 << 8:
        return bytes((0xD9, size)) + data
    if size < 1 << 16:
        return b"\xda" + size.to_bytes(2, "big") + data
    return b"\xdb" + size.to_bytes(4, "big") + data


def seconds(value: int) -> bytes:
    """A time in whole seconds: `uint 32`."""
    return b"\xce" + value.to_bytes(4, "big")


def event_time(seconds: int, nanoseconds: int) -> bytes:
    """Fluentd's EventTime: `fixext 8` of type 0."""
    return b"\xd7\x00" + seconds.to_bytes(4, "big") + nanoseconds.to_bytes(4, "big")


def array(parts: Sequence[bytes]) -> bytes:
    """`fixarray`: of at most 15 encoded values."""
    return bytes((0x90 | len(parts),)) + b"".join(parts)


def mapping(values: dict[str, str]) -> bytes:
    """`map 16` or `fixmap`."""
    size = len(values)
    head = bytes((0x80 | size,)) if size < 16 else b"\xde" + size.to_bytes(2, "big")
    return head + b"".join(text(key) + text(value) for key, value in values.items())
