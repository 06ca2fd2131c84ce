"""The services of a Compose file as targets (compose-spec, «Compose Build Specification»; buildx's `x-bake`)."""

from __future__ import annotations

import os
import re
from typing import Any

from ..model.quantity import bytes_size, parse_bytes
from .bake_target import Target, merge, normal
from .command import CommandFailed

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<word>[^}]*))?\})"
)


def targets_of(document: dict[str, Any]) -> dict[str, Target]:
    """Every service that is built, by its name with dots made underscores."""
    environment = {**_dotenv(), **os.environ}
    document = _interpolated(document, environment)
    secrets = document.get("secrets") or {}
    found = {}
    for name, service in document["services"].items():
        if service.get("build") is not None:
            found[_target_name(name)] = _target(name, service, secrets, environment)
    return found


def _target_name(name: str) -> str:
    return name.replace(".", "_")


def _target(name: str, service: dict[str, Any], secrets: dict[str, Any], environment: dict[str, str]) -> Target:
    build = service["build"]
    build = {"context": build} if isinstance(build, str) else build
    image = [service["image"]] if service.get("image") else []
    raw = {
        "context": _clean(build.get("context")), "dockerfile": build.get("dockerfile"),
        "dockerfile-inline": build.get("dockerfile_inline"),
        "args": _pairs(build.get("args"), environment), "labels": _pairs(build.get("labels"), {}),
        "target": build.get("target"), "tags": build.get("tags") or image or None,
        "cache-from": build.get("cache_from"), "cache-to": build.get("cache_to"), "no-cache": build.get("no_cache"),
        "pull": build.get("pull"), "platforms": build.get("platforms"), "network": build.get("network"),
        "contexts": {key: _clean(held) for key, held in _pairs(build.get("additional_contexts"), {}).items()} or None,
        "secret": [_secret(one, secrets) for one in build.get("secrets") or ()] or None, "ssh": build.get("ssh"),
        "extra-hosts": _pairs(build.get("extra_hosts"), {}, ":") or None, "entitlements": build.get("entitlements"),
        "ulimits": [_ulimit(*pair) for pair in (build.get("ulimits") or {}).items()] or None,
        "shm-size": bytes_size(parse_bytes(str(build["shm_size"]))) if build.get("shm_size") else None,
    }  # fmt: skip
    target = normal(name, {key: value for key, value in raw.items() if value not in (None, {})})
    return _extended(target, normal(name, build.get("x-bake") or {}))


def _extended(target: Target, more: Target) -> Target:
    """`x-bake` adds to lists."""
    lists = {key: [*target.get(key, []), *value] for key, value in more.items() if isinstance(value, list)}
    return merge(target, {**more, **lists})


def _clean(value: Any) -> Any:
    return os.path.normpath(value) if isinstance(value, str) and ":" not in value else value


def _pairs(value: Any, environment: dict[str, str], between: str = "=") -> dict[str, str]:
    """Compose's two forms, a mapping or a list; a name alone takes its value from the environment, or goes."""
    if isinstance(value, dict):
        items = [(str(name), held) for name, held in value.items()]
    else:
        parted = [re.split(f"[={between}]", text, maxsplit=1) for text in value or ()]
        items = [(pair[0], pair[1] if len(pair) > 1 else None) for pair in parted]
    found = {name: environment.get(name) if held is None else held for name, held in items}
    return {name: held for name, held in found.items() if held is not None}


def _secret(one: Any, known: dict[str, Any]) -> dict[str, str]:
    name = one if isinstance(one, str) else one["source"]
    source = known.get(name)
    if source is None:
        raise CommandFailed(f'invalid compose project: service refers to undefined build secret "{name}"')
    if "environment" in source:
        return {"id": name, "env": source["environment"]}
    return {"id": name, "src": _clean(source.get("file", ""))}


def _ulimit(name: str, value: Any) -> str:
    soft, hard = (value["soft"], value["hard"]) if isinstance(value, dict) else (value, value)
    return f"{name}={soft}:{hard}"


def _dotenv() -> dict[str, str]:
    """`.env` beside the file."""
    try:
        with open(".env", encoding="utf-8") as file:
            lines = [line.strip().removeprefix("export ") for line in file]
    except FileNotFoundError:
        return {}
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def _interpolated(value: Any, environment: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(held, environment) for key, held in value.items()}
    if isinstance(value, list):
        return [_interpolated(held, environment) for held in value]
    return _VARIABLE.sub(lambda match: _value(match, environment), value) if isinstance(value, str) else value


def _value(match: re.Match[str], environment: dict[str, str]) -> str:
    """compose-spec, «Interpolation»."""
    if match["escaped"]:
        return "$"
    name, how, word = match["bare"] or match["name"], match["how"] or "", match["word"] or ""
    value = environment.get(name)
    is_set = bool(value) if how.startswith(":") else value is not None
    if how.endswith("+"):
        return word if is_set else ""
    if how.endswith("?") and not is_set:
        raise CommandFailed(f"required variable {name} is missing a value: {word}")
    return (value or "") if is_set else word
