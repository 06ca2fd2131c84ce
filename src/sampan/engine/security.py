"""Which seccomp profile a container gets."""

from __future__ import annotations

import json
from typing import Any

from ..errors import InvalidArgument
from .container import Container
from .engine import Engine

UNCONFINED, BUILTIN = "unconfined", "builtin"


def seccomp(engine: Engine, container: Container) -> dict[str, Any] | None:
    """The OCI profile, or None for unconfined; InvalidArgument for a profile that is none."""
    host = container.host_config
    if host.privileged:
        return None
    asked = _option(host.security_opt or [])
    if asked is None:
        asked = _daemon_default(engine.config.container.seccomp_profile)
    if asked == UNCONFINED:
        return None
    return None if asked in ("", BUILTIN) else _parse(asked)


def _option(options: list[str]) -> str | None:
    for option in options:
        for prefix in ("seccomp=", "seccomp:"):
            if option.startswith(prefix):
                return option.removeprefix(prefix)
    return None


def _daemon_default(path: str) -> str:
    if path in ("", UNCONFINED, BUILTIN):
        return path
    with open(path) as file:
        return file.read()


def _parse(text: str) -> dict[str, Any]:
    try:
        profile = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"decoding seccomp profile failed: {error}") from error
    if not isinstance(profile, dict):
        raise InvalidArgument("decoding seccomp profile failed: not an object")
    return profile
