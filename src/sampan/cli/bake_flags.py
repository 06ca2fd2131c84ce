"""The flags of `build` that a target of a bake file stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .bake_target import Target

_VALUES = {"target": "target", "network": "network", "shm-size": "shm-size"}
_LISTS = {
    "tags": "tag", "secret": "secret", "output": "output", "no-cache-filter": "no-cache-filter", "ssh": "ssh",
    "cache-from": "cache-from", "cache-to": "cache-to", "platforms": "platform", "entitlements": "allow",
    "ulimits": "ulimit", "annotations": "annotation", "attest": "attest",
}  # fmt: skip
_MAPPINGS = {"args": ("build-arg", "="), "labels": ("label", "="), "contexts": ("build-context", "="),
             "extra-hosts": ("add-host", ":")}  # fmt: skip
_SWITCHES = {"no-cache": "no-cache", "pull": "pull"}
"""Keys of a target and the flag of `build` that each becomes."""


def flags_of(target: Target, scratch: str) -> list[str]:
    """The flags of `build` that a target stands for; an inline Dockerfile is written into the directory `scratch`."""
    return [*_dockerfile(target, scratch), *_flags(target)]


def _dockerfile(target: Target, scratch: str) -> Iterator[str]:
    if "dockerfile-inline" in target:
        path = os.path.join(scratch, "Dockerfile")
        with open(path, "w", encoding="utf-8") as file:
            file.write(target["dockerfile-inline"])
        yield f"--file={path}"
    elif target.get("dockerfile", "Dockerfile") != "Dockerfile":
        local = os.path.isdir(target.get("context", "."))
        yield f"--file={os.path.join(target.get('context', '.') if local else '', target['dockerfile'])}"


def _flags(target: Target) -> Iterator[str]:
    for key, flag in _VALUES.items():
        if target.get(key):
            yield f"--{flag}={target[key]}"
    for key, flag in _LISTS.items():
        for value in target.get(key, ()):
            yield f"--{flag}={_flat(key, value)}"
    for key, (flag, between) in _MAPPINGS.items():
        for name, value in target.get(key, {}).items():
            yield f"--{flag}={name}{between}{value}"
    for key, flag in _SWITCHES.items():
        if target.get(key):
            yield f"--{flag}"


def _flat(key: str, value: Any) -> str:
    if key == "ssh":
        return f"{value['id']}={value['paths']}" if value.get("paths") else str(value["id"])
    return ",".join(f"{name}={held}" for name, held in value.items()) if isinstance(value, dict) else str(value)
