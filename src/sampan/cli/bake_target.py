"""One target of a bake file in its normal form, that which `--print` shows: values by key, all forms of a key made one.

Strings in CSV become mappings, numbers and booleans of mappings become strings; what is null is left out.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable
from typing import Any

from .command import CommandFailed

Target = dict[str, Any]
_LINK = "target:"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _context(value: Any) -> str:
    text = str(value)
    return text if "://" in text or text.startswith(("git@", "-")) or ":" in text else posixpath.normpath(text)


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        if value not in ("true", "false", "1", "0"):
            raise CommandFailed(f"invalid value {value} for boolean key")
        return value in ("true", "1")
    return bool(value)


def _mapping(value: Any) -> dict[str, str]:
    return {name: _scalar(held) for name, held in value.items() if held is not None}


def _list(value: Any) -> list[str]:
    return [_scalar(item) for item in ([value] if isinstance(value, str) else value)]


def _fields(text: str) -> dict[str, str]:
    return {key: held for key, _, held in (item.partition("=") for item in next(csv.reader([text])))}


def _cache(item: str) -> dict[str, str]:
    return _fields(item) if "=" in item else {"type": "registry", "ref": item}


def _output(item: str) -> dict[str, str]:
    if "=" in item:
        return _fields(item)
    return {"type": "tar", "dest": "-"} if item == "-" else {"type": "local", "dest": item}


def _secret(item: str) -> dict[str, str]:
    return _fields(item)


def _plain_secret(entry: dict[str, str]) -> dict[str, str]:
    """Without the type, which the other keys tell."""
    entry = {"src" if key == "source" else key: held for key, held in entry.items()}
    return {key: held for key, held in entry.items() if key != "type"}


def _agent(item: str) -> dict[str, str]:
    name, _, paths = item.partition("=")
    return {"id": name, "paths": paths} if paths else {"id": name}


def _entries(read: Callable[[str], dict[str, str]], finish: Callable[[dict[str, str]], dict[str, str]] = dict) -> Any:
    def convert(value: Any) -> list[dict[str, str]]:
        items = [value] if isinstance(value, (str, dict)) else value
        return [finish(read(item) if isinstance(item, str) else _mapping(item)) for item in items]

    return convert


KEYS: dict[str, Callable[[Any], Any]] = {
    "description": str, "annotations": _list, "attest": _entries(_fields), "context": _context, "contexts": _mapping,
    "dockerfile": str, "dockerfile-inline": str, "args": _mapping, "labels": _mapping, "tags": _list,
    "cache-from": _entries(_cache), "cache-to": _entries(_cache), "target": str,
    "secret": _entries(_secret, _plain_secret), "ssh": _entries(_agent), "platforms": _list,
    "output": _entries(_output), "pull": _boolean, "no-cache": _boolean, "network": str, "no-cache-filter": _list,
    "shm-size": str, "ulimits": _list, "entitlements": _list, "extra-hosts": _mapping, "inherits": _list,
}  # fmt: skip
"""What a target may say, in the order in which buildx shows it."""

_MAPPINGS = frozenset({"args", "labels", "contexts", "extra-hosts"})
_JOINED = frozenset({"cache-from", "secret", "ssh", "annotations", "attest", "entitlements"})
"""Lists to which a later file or a heir adds; other lists are replaced."""


def normal(name: str, raw: Target) -> Target:
    """A target as it stands in a file, in normal form."""
    for key in raw:
        if key not in KEYS:
            raise CommandFailed(f"target {name}: unknown key {key}: it is none of {', '.join(KEYS)}")
    return {key: convert(raw[key]) for key, convert in KEYS.items() if raw.get(key) is not None}


def merge(below: Target, above: Target) -> Target:
    """Both in normal form: `above` wins, mappings and some lists are joined."""
    merged = dict(below)
    for key, value in above.items():
        if key in _MAPPINGS:
            merged[key] = {**below.get(key, {}), **value}
        elif key in _JOINED:
            merged[key] = _joined(below.get(key, []), value)
        else:
            merged[key] = value
    return ordered(merged)


def ordered(target: Target) -> Target:
    """With its keys in buildx's order."""
    return {key: target[key] for key in KEYS if key in target}


def _joined(below: list[Any], above: list[Any]) -> list[Any]:
    """Equal entries count once; one with the same id takes the other's place."""
    found: dict[str, Any] = {}
    for entry in [*below, *above]:
        identity = entry.get("id") if isinstance(entry, dict) else None
        found[identity or repr(entry)] = entry
    return list(found.values())


def with_push(outputs: list[dict[str, str]]) -> list[dict[str, str]]:
    """`--push`: the image that there is goes to the registry, or one more output does that."""
    pushed = [{**one, "push": "true"} if one.get("type") == "image" else one for one in outputs]
    if any(one.get("type") in ("image", "registry") for one in outputs):
        return pushed
    return [*pushed, {"type": "image", "push": "true"}]


def with_load(outputs: list[dict[str, str]]) -> list[dict[str, str]]:
    """`--load`: an output to the daemon's images."""
    if any(one.get("type") == "docker" and not one.get("dest") for one in outputs):
        return outputs
    return [*outputs, {"type": "docker"}]


def links(target: Target) -> dict[str, str]:
    """Contexts that are other targets' results."""
    contexts = target.get("contexts", {}).items()
    return {name: where.removeprefix(_LINK) for name, where in contexts if where.startswith(_LINK)}
