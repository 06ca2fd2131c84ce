"""Which seccomp profile containers get that name none themselves."""

from __future__ import annotations

import json
from typing import Any

from ..errors import InvalidArgument
from .engine import Engine

UNCONFINED, BUILTIN = "unconfined", "builtin"


def seccomp(engine: Engine) -> dict[str, Any] | str:
    """The daemon's profile: "" for the built-in one, "unconfined", or the file's content."""
    configured = engine.config.container.seccomp_profile
    if configured in ("", BUILTIN):
        return ""
    if configured == UNCONFINED:
        return UNCONFINED
    with open(configured) as file:
        return _parse(file.read())


def _parse(text: str) -> dict[str, Any]:
    try:
        profile = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"decoding seccomp profile failed: {error}") from error
    if not isinstance(profile, dict):
        raise InvalidArgument("decoding seccomp profile failed: not an object")
    return profile
