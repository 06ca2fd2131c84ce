"""Sizes as people write them: flags, daemon.json, options of volumes and layers."""

from __future__ import annotations

import re
from typing import Final

from ..errors import InvalidArgument

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(text: str) -> int:
    """Octets from a size in Docker's notation, where every unit is binary: `64m`, `1GB`, `512`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])
