"""Platforms in a query: OCI platforms as JSON, once or repeated."""

from __future__ import annotations

import msgspec

from ..errors import InvalidArgument
from ..oci.platform import Platform
from .call import Call
from .versions import Version


def one(call: Call, since: Version) -> Platform | None:
    """`platform`, from an API version on."""
    return _decode(call.query.text("platform")) if call.version >= since else None


def every(call: Call, key: str, since: Version) -> list[Platform]:
    """`key`, repeated, from an API version on."""
    if call.version < since:
        return []
    return [wanted for text in call.query.all(key) if (wanted := _decode(text)) is not None]


def _decode(text: str) -> Platform | None:
    try:
        found = msgspec.json.decode(text, type=Platform) if text else None
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"failed to parse platform: {error}") from None
    if found is not None and not (found.os and found.architecture):
        raise InvalidArgument("both OS and Architecture must be provided")
    return found
