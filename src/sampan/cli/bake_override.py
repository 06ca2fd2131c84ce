"""`bake --set 'pattern.key[.name]=value'`: what the command line says of targets."""

from __future__ import annotations

import os
from collections import defaultdict
from fnmatch import fnmatchcase

from .bake_target import KEYS, Target, merge, normal, ordered, with_load, with_push
from .command import CommandFailed

_NAMES = {"platform": "platforms", "secrets": "secret"}
"""Keys that have another name here than in files."""
_MAPPINGS = frozenset({"args", "labels", "contexts", "extra-hosts"})
_LISTS = frozenset({
    "tags", "cache-from", "cache-to", "secret", "ssh", "platforms", "output", "no-cache-filter", "entitlements",
    "annotations", "attest", "ulimits",
})  # fmt: skip
_OUTPUTS = {"push": with_push, "load": with_load}


class Overrides:
    """All `--set` of one command. A list key that is once given with `+=` is added to by all of them."""

    def __init__(self, texts: list[str], known: list[str]) -> None:
        self._values: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._added: set[tuple[str, str]] = set()
        for text in texts:
            self._read(text, known)

    def _read(self, text: str, known: list[str]) -> None:
        left, equals, value = text.partition("=")
        adds = left.endswith("+")
        pattern, dot, key = left.removesuffix("+").partition(".")
        if not dot or not key:
            raise CommandFailed(f"invalid override key {left}, expected target.name")
        key, _, inner = key.partition(".")
        key = _NAMES.get(key, key)
        if key in _MAPPINGS and not inner:
            raise CommandFailed(f"invalid key {left}, {key} requires name")
        if key not in KEYS and key not in _OUTPUTS:
            raise CommandFailed(f"unknown key: {key}")
        if not equals and not (key == "args" and inner in os.environ):
            raise CommandFailed(f"invalid override {text}, expected target.name=value")
        names = [name for name in known if fnmatchcase(name, pattern)]
        if not names:
            raise CommandFailed(f"could not find any target matching '{pattern}'")
        for name in names:
            self._values[name][f"{key}.{inner}" if inner else key].append(value if equals else os.environ[inner])
            if adds:
                self._added.add((name, key))

    def apply(self, name: str, target: Target) -> Target:
        """A resolved target as it is wanted now."""
        for path, values in self._values[name].items():
            key, _, inner = path.partition(".")
            if key in _OUTPUTS:
                if values[-1] == "true":
                    target = {**target, "output": _OUTPUTS[key](target.get("output", []))}
                continue
            given = normal(name, {key: {inner: values[-1]} if inner else values if key in _LISTS else values[-1]})
            if key in _LISTS:
                old = target.get(key, []) if (name, key) in self._added else []
                target = {**target, key: [*old, *given[key]]}
            else:
                target = merge(target, given)
        return ordered(target)
