"""`builder bake`: several builds that a file describes (buildx's bake without HCL)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .bake_file import DEFAULT_FILES, BakeFile, Target
from .command import ANY, CommandFailed, command
from .flags import Options, Parser, boolean, string, string_array

if TYPE_CHECKING:
    from .session import Session

_VALUES = {
    "dockerfile": "file", "target": "target", "network": "network", "shm-size": "shm-size",
}  # fmt: skip
_LISTS = {
    "tags": "tag", "secret": "secret", "output": "output", "no-cache-filter": "no-cache-filter",
    "cache-from": "cache-from", "platforms": "platform", "entitlements": "allow",
}  # fmt: skip
_MAPPINGS = {"args": "build-arg", "labels": "label", "contexts": "build-context"}
_SWITCHES = {"no-cache": "no-cache", "pull": "pull"}
"""Keys of a target and the flag of `build` that each becomes."""


@command(
    "[OPTIONS] [TARGET...]",
    "Build from a file: JSON or Compose",
    string_array("file", "Build definition file", short="f"),
    boolean("load", 'Shorthand for "--set=*.output=type=docker"', hidden=True),
    boolean("no-cache", "Do not use cache when building the images"),
    boolean("print", "Print the options without building"),
    string("progress", 'Set type of progress output ("auto", "plain", "tty", "rawjson", "quiet")', default="auto"),
    boolean("pull", "Always attempt to pull all referenced images"),
    boolean("push", "Push the images once they are built"),
    string_array("set", 'Override target value (e.g., "targetpattern.key=value")'),
    arity=ANY,
)
def bake(session: Session, options: Options, arguments: list[str]) -> int:
    files = options["file"] or [name for name in DEFAULT_FILES if os.path.exists(name)]
    if not files:
        raise CommandFailed("couldn't find a bake definition")
    definition = BakeFile()
    for path in files:
        definition.read(path)
    targets = definition.chosen(arguments)
    for text in options["set"]:
        _override(targets, text)
    if options["print"]:
        groups = {"default": {"targets": list(targets)}}
        session.say(json.dumps({"group": groups, "target": targets}, indent=2))
        return 0
    return _build_all(session, options, targets)


def _build_all(session: Session, options: Options, targets: dict[str, Target]) -> int:
    from .build import build

    common = [f"--progress={options['progress']}"]
    common += [f"--{name}" for name in ("no-cache", "pull", "push") if options[name]]
    for target in targets.values():
        words, rest = Parser(build.flags).parse([*common, *flags_of(target), str(target.get("context", "."))])
        status = build.run(session, words, rest)
        if status:
            return status
    return 0


def flags_of(target: Target) -> list[str]:
    """The flags of `build` that a target stands for."""
    found = [f"--{flag}={target[key]}" for key, flag in _VALUES.items() if target.get(key)]
    if "dockerfile" in target and not os.path.isabs(target["dockerfile"]):
        found = [word for word in found if not word.startswith("--file=")]
        found.append(f"--file={os.path.join(target.get('context', '.'), target['dockerfile'])}")
    for key, flag in _LISTS.items():
        found += [f"--{flag}={_flat(value)}" for value in target.get(key) or ()]
    for key, flag in _MAPPINGS.items():
        found += [f"--{flag}={name}={value}" for name, value in (target.get(key) or {}).items()]
    return found + [f"--{flag}" for key, flag in _SWITCHES.items() if target.get(key)]


def _flat(value: Any) -> str:
    """bake writes `type=local,dest=x` also as an object."""
    return ",".join(f"{key}={held}" for key, held in value.items()) if isinstance(value, dict) else str(value)


def _override(targets: dict[str, Target], text: str) -> None:
    from fnmatch import fnmatchcase

    path, equals, value = text.partition("=")
    pattern, _, key = path.partition(".")
    if not equals or not key:
        raise CommandFailed(f"invalid override {text}, expected target.name=value")
    for name, target in targets.items():
        if not fnmatchcase(name, pattern):
            continue
        key, _, inner = key.partition(".")
        if inner:
            target[key] = {**(target.get(key) or {}), inner: value}
        elif key in _LISTS:
            target[key] = [value]
        elif key in _SWITCHES:
            target[key] = value == "true"
        else:
            target[key] = value
