"""What `bake` builds: targets and groups of a JSON file in bake's form, or the services of a Compose file."""

from __future__ import annotations

import json
import os
from typing import Any

from .command import CommandFailed

DEFAULT_FILES = (
    "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml", "docker-bake.json",
    "docker-bake.override.json",
)  # fmt: skip
Target = dict[str, Any]


class BakeFile:
    """Merged files: `targets` by name, `groups` of names."""

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {}
        self.groups: dict[str, list[str]] = {}

    def read(self, path: str) -> None:
        """Add a file; what it says of a target wins over what an earlier one said."""
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise CommandFailed(f"couldn't find a bake definition: {path}: {str(error.strerror).lower()}") from error
        document = _parse(path, text)
        if "services" in document:
            document = _from_compose(document)
        for name, group in (document.get("group") or {}).items():
            self.groups[name] = list(group.get("targets", ()))
        for name, target in (document.get("target") or {}).items():
            self.targets[name] = {**self.targets.get(name, {}), **target}

    def chosen(self, names: list[str]) -> dict[str, Target]:
        """The targets that names (of targets or groups) mean, in order, `inherits` resolved."""
        wanted: dict[str, Target] = {}
        for name in names or ["default"]:
            for target in self._expand(name, ()):
                wanted[target] = self._resolved(target, ())
        return wanted

    def _expand(self, name: str, above: tuple[str, ...]) -> list[str]:
        if name in above:
            raise CommandFailed(f"group {name} contains itself")
        if name in self.groups:
            return [found for below in self.groups[name] for found in self._expand(below, (*above, name))]
        if name in self.targets:
            return [name]
        if name == "default":
            return list(self.targets)
        raise CommandFailed(f"failed to find target {name}")

    def _resolved(self, name: str, above: tuple[str, ...]) -> Target:
        if name in above:
            raise CommandFailed(f"infinite loop in the inheritance of target {name}")
        own = self.targets.get(name)
        if own is None:
            raise CommandFailed(f"failed to find target {name}")
        merged: Target = {}
        for parent in own.get("inherits", ()):
            merged = merge(merged, self._resolved(parent, (*above, name)))
        return {key: value for key, value in merge(merged, own).items() if key != "inherits"}


def merge(below: Target, above: Target) -> Target:
    """Mappings are joined, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _parse(path: str, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if path.endswith(".json") else _yaml(text)
    except ValueError as error:
        raise CommandFailed(f"failed to parse {path}: {error}") from None
    if not isinstance(document, dict):
        raise CommandFailed(f"failed to parse {path}: it is not a mapping")
    return document


def _yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore] # only for Compose files, and only where it is there
    except ModuleNotFoundError:
        raise CommandFailed(
            "a Compose file needs PyYAML (the Debian package python3-yaml); JSON files do not"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _from_compose(document: dict[str, Any]) -> dict[str, Any]:
    targets: dict[str, Target] = {}
    for name, service in document["services"].items():
        build = service.get("build")
        if build is None:
            continue
        build = {"context": build} if isinstance(build, str) else build
        targets[name] = {
            "context": build.get("context", "."), "dockerfile": build.get("dockerfile", "Dockerfile"),
            "args": pairs(build.get("args")), "labels": pairs(build.get("labels")), "target": build.get("target", ""),
            "tags": [*([service["image"]] if service.get("image") else []), *build.get("tags", [])],
            "no-cache": build.get("no_cache", False), "pull": build.get("pull", False),
            "platforms": build.get("platforms", []), "network": build.get("network", ""),
            "contexts": pairs(build.get("additional_contexts")), "shm-size": str(build.get("shm_size", "")),
            "secret": [_secret(one, document.get("secrets") or {}) for one in build.get("secrets", ())],
            "dockerfile-inline": build.get("dockerfile_inline", ""),
        }  # fmt: skip
    return {"target": targets, "group": {"default": {"targets": list(targets)}}}


def pairs(value: Any) -> dict[str, str]:
    """Compose's two forms: a mapping, or a list of `NAME=value`; a name alone takes our environment's value."""
    items = value.items() if isinstance(value, dict) else (text.partition("=")[::2] for text in value or ())
    return {str(name): os.environ.get(str(name), "") if held in (None, "") else str(held) for name, held in items}


def _secret(one: Any, known: dict[str, Any]) -> str:
    name = one if isinstance(one, str) else one["source"]
    source = known.get(name) or {}
    return (
        f"id={name},env={source['environment']}"
        if "environment" in source
        else f"id={name},src={source.get('file', name)}"
    )
