"""Sizes as people write them in daemon.json and in options of volumes and layers."""

from __future__ import annotations

from ..errors import InvalidArgument
from .quantity import parse_bytes


def parse_size(text: str) -> int:
    """Octets from a size in Docker's notation, where every unit is binary: `64m`, `1GB`, `512`."""
    try:
        return parse_bytes(text.strip())
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
