"""What `bake` builds: targets and groups of JSON files in bake's form and of Compose files, merged.

JSON strings may name variables, `${NAME}`, which the file declares and the environment overrides. Other expressions of
HCL are refused: buildx is there for them.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from .bake_target import Target, merge, normal
from .command import CommandFailed

DEFAULT_FILES = (
    "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml", "docker-bake.json",
    "docker-bake.override.json",
)  # fmt: skip
_TEMPLATE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
Scope = Mapping[str, Any]


class BakeFile:
    """Merged files: `targets` by name, in normal form; `groups` of names."""

    def __init__(self, paths: list[str]) -> None:
        self.targets: dict[str, Target] = {}
        self.groups: dict[str, list[str]] = {}
        documents = [_read(path) for path in paths]
        self._add_compose([document for document in documents if "services" in document])
        others = [document for document in documents if "services" not in document]
        scope = _variables(others)
        for document in others:
            groups = {name: group.get("targets") or [] for name, group in (document.get("group") or {}).items()}
            targets = self._targets(document, scope)
            self._add(targets, _filled(groups, scope))

    def _add_compose(self, documents: list[dict[str, Any]]) -> None:
        """buildx reads Compose files before others, whatever their order."""
        if not documents:
            return
        from .bake_compose import targets_of

        for document in documents:
            self._add(targets_of(document), {})
        self.groups["default"] = list(self.targets)

    def _add(self, targets: dict[str, Target], groups: dict[str, list[str]]) -> None:
        for name, target in targets.items():
            self.targets[name] = merge(self.targets.get(name, {}), target)
        for name, members in groups.items():
            self.groups[name] = list(members)

    def _targets(self, document: dict[str, Any], scope: Scope) -> dict[str, Target]:
        found = {}
        for name, raw in (document.get("target") or {}).items():
            if "matrix" not in raw:
                found[name] = normal(name, _filled(raw, scope))
                continue
            made = {one: normal(one, target) for one, target in _multiplied(name, raw, scope)}
            found |= made
            self.groups[name] = list(made)
        return found

    def named(self, names: list[str]) -> list[str]:
        """The targets that names (of targets or groups) mean."""
        found = dict.fromkeys(target for name in names or ["default"] for target in self._expand(name, set()))
        if not found:
            raise CommandFailed(f"failed to find target {(names or ['default'])[0]}")
        return sorted(found)

    def _expand(self, name: str, seen: set[str]) -> list[str]:
        if name in self.groups:
            if name in seen:
                return []
            return [found for below in self.groups[name] for found in self._expand(below, seen | {name})]
        if name in self.targets:
            return [name]
        raise CommandFailed(f"failed to find target {name}")

    def resolved(self, name: str, seen: frozenset[str] = frozenset()) -> Target:
        """A target with what it inherits, and what buildx takes for granted."""
        if name not in self.targets:
            raise CommandFailed(f"failed to find target {name}")
        merged: Target = {} if seen else {"context": ".", "dockerfile": "Dockerfile"}
        for parent in self.targets[name].get("inherits", ()):
            if parent not in seen:
                merged = merge(merged, self.resolved(parent, seen | {name}))
        found = merge(merged, self.targets[name])
        found.pop("inherits", None)
        return found

    def shown_groups(self, names: list[str]) -> dict[str, dict[str, list[str]]]:
        """The groups that `--print` shows: those that are met, and all that was asked for as `default`."""
        found: dict[str, list[str]] = {}
        queue = list(names or ["default"])
        while queue:
            name = queue.pop(0)
            if name in self.groups and name not in found:
                found[name] = self.groups[name]
                queue += found[name]
        asked = [name for name in names if name != "default"]
        found["default"] = [*found.get("default", ()), *asked]
        return {name: {"targets": sorted(set(found[name]))} for name in sorted(found)}


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise CommandFailed(f"couldn't find a bake definition: {path}: {str(error.strerror).lower()}") from error
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


def _variables(documents: list[dict[str, Any]]) -> Scope:
    """Values of declared variables: the environment's, of the default's type, or the default."""
    declared: dict[str, Any] = {}
    for document in documents:
        declared |= {name: (raw or {}).get("default") for name, raw in (document.get("variable") or {}).items()}
    scope: dict[str, Any] = {}
    for name, default in declared.items():
        given = os.environ.get(name)
        scope[name] = _filled(default, {**declared, **scope}) if given is None else _typed(name, given, default)
    return scope


def _typed(name: str, text: str, default: Any) -> Any:
    if isinstance(default, bool) and text not in ("true", "false", "1", "0"):
        raise CommandFailed(f"failed to parse {name} as bool: {text}")
    return text in ("true", "1") if isinstance(default, bool) else text


def _filled(value: Any, scope: Scope) -> Any:
    """A part of a document with its variables replaced; a string that is nothing but one takes the value's type."""
    if isinstance(value, dict):
        return {key: _filled(held, scope) for key, held in value.items()}
    if isinstance(value, list):
        return [_filled(held, scope) for held in value]
    if not isinstance(value, str):
        return value
    whole = _TEMPLATE.fullmatch(value)
    if whole is not None and whole.group(1) is not None:
        return _value(whole, scope)
    return _TEMPLATE.sub(lambda match: "${" if match.group(1) is None else _text(_value(match, scope)), value)


def _value(match: re.Match[str], scope: Scope) -> Any:
    name = match.group(1).strip()
    if not _NAME.fullmatch(name):
        raise CommandFailed(f"{match.group()}: only names of variables are filled in; expressions of HCL need buildx")
    if name not in scope:
        raise CommandFailed(f'Unknown variable; There is no variable named "{name}".')
    return scope[name]


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _multiplied(name: str, raw: Target, scope: Scope) -> list[tuple[str, Target]]:
    """A target for each combination of the matrix' values."""
    matrix: dict[str, list[Any]] = _filled(raw["matrix"], scope)
    if "name" not in raw:
        raise CommandFailed(f"target {name}: a matrix needs a name")
    rest = {key: value for key, value in raw.items() if key not in ("matrix", "name")}
    found = []
    for values in itertools.product(*matrix.values()):
        inner = {**scope, **dict(zip(matrix, values, strict=True))}
        found.append((str(_filled(raw["name"], inner)), _filled(rest, inner)))
    return found
