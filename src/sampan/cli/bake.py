"""`builder bake`: several builds that a file describes (buildx's bake without HCL)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from .bake_file import DEFAULT_FILES, BakeFile
from .bake_override import Overrides
from .bake_target import Target, ordered
from .command import ANY, CommandFailed, command
from .flags import Options, Parser, boolean, string, string_array

if TYPE_CHECKING:
    from .session import Session

_VALUES = {"target": "target", "network": "network", "shm-size": "shm-size"}
_LISTS = {
    "tags": "tag", "secret": "secret", "output": "output", "no-cache-filter": "no-cache-filter", "ssh": "ssh",
    "cache-from": "cache-from", "cache-to": "cache-to", "platforms": "platform", "entitlements": "allow",
    "ulimits": "ulimit",
}  # fmt: skip
_MAPPINGS = {"args": ("build-arg", "="), "labels": ("label", "="), "contexts": ("build-context", "="),
             "extra-hosts": ("add-host", ":")}  # fmt: skip
_SWITCHES = {"no-cache": "no-cache", "pull": "pull"}
"""Keys of a target and the flag of `build` that each becomes."""
_UNKNOWN = ("annotations", "attest")
_LINK = "target:"


@command(
    "[OPTIONS] [TARGET...]",
    "Build from a file: JSON or Compose",
    string_array("file", "Build definition file", short="f"),
    boolean("load", 'Shorthand for "--set=*.load=true"'),
    string("metadata-file", "Write build result metadata to a file"),
    boolean("no-cache", "Do not use cache when building the images"),
    boolean("print", "Print the options without building"),
    string("progress", 'Set type of progress output ("auto", "plain", "tty", "rawjson", "quiet")', default="auto"),
    boolean("pull", "Always attempt to pull all referenced images"),
    boolean("push", 'Shorthand for "--set=*.push=true"'),
    string_array("set", 'Override target value (e.g., "targetpattern.key=value")'),
    arity=ANY,
)
def bake(session: Session, options: Options, arguments: list[str]) -> int:
    files = options["file"] or [name for name in DEFAULT_FILES if os.path.exists(name)]
    if not files:
        raise CommandFailed("couldn't find a bake definition")
    definition = BakeFile(files)
    wanted = definition.named(arguments)
    shorthands = [f"*.{name}=true" for name in ("load", "push", "no-cache", "pull") if options[name]]
    overrides = Overrides([*options["set"], *shorthands], list(definition.targets))
    targets = _with_linked(definition, overrides, wanted)
    if options["print"]:
        shown = {
            name: {key: _shown(value) for key, value in ordered(targets[name]).items()} for name in sorted(targets)
        }
        document = {"group": definition.shown_groups(arguments), "target": shown}
        session.say(json.dumps(document, indent=2, ensure_ascii=False))
        return 0
    with _Baking(session, targets, options["progress"]) as baking:
        for name in wanted:
            baking.build(name)
    if options["metadata-file"]:
        with open(options["metadata-file"], "w", encoding="utf-8") as file:
            json.dump(baking.metadata, file, indent=2)
    return 0


def _with_linked(definition: BakeFile, overrides: Overrides, wanted: list[str]) -> dict[str, Target]:
    """The targets to build; those that are only contexts of others give nothing by themselves."""
    found: dict[str, Target] = {}
    queue = list(wanted)
    while queue:
        name = queue.pop(0)
        if name in found:
            continue
        target = overrides.apply(name, definition.resolved(name))
        found[name] = target if name in wanted else {**target, "output": [{"type": "cacheonly"}]}
        queue += links(target).values()
    for target in found.values():
        allowed = target.get("entitlements", [])
        allowed += [one for name in links(target).values() for one in found[name].get("entitlements", [])]
        if allowed:
            target["entitlements"] = list(dict.fromkeys(allowed))
    return found


def links(target: Target) -> dict[str, str]:
    """Contexts that are other targets' results."""
    contexts = target.get("contexts", {}).items()
    return {name: where.removeprefix(_LINK) for name, where in contexts if where.startswith(_LINK)}


def _shown(value: Any) -> Any:
    """A value of a target so that what is printed, read again, means the same."""
    if isinstance(value, dict):
        first = ("id", "src") if "id" in value else ()  # a secret
        names = sorted(value, key=lambda name: (first.index(name) if name in first else len(first), name))
        return {name: _shown(value[name]) for name in names}
    if isinstance(value, list):
        return [_shown(held) for held in value]
    return value.replace("${", "$${").replace("%{", "%%{") if isinstance(value, str) else value


class _Baking:
    """Builds targets, each once; the images of linked ones go at the end unless they have names."""

    def __init__(self, session: Session, targets: dict[str, Target], progress: str) -> None:
        self._session, self._targets, self._progress = session, targets, progress
        self.metadata: dict[str, Any] = {}
        """What `build --metadata-file` says, by target."""
        self._built: dict[str, str] = {}
        self._under_way: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> _Baking:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def build(self, name: str, *, linked: bool = False) -> str:
        """The ID of the target's image; empty where it went elsewhere."""
        if name in self._under_way:
            raise CommandFailed(f"infinite loop from {name}")
        if name not in self._built:
            self._under_way.append(name)
            target = dict(self._targets[name])
            target["contexts"] = {**target.get("contexts", {}), **self._linked(target)}
            if linked:
                target.pop("output")
            self._built[name] = self._run(name, target)
            self._under_way.pop()
            if linked:
                self._stack.callback(self._discard, self._built[name])
        return self._built[name]

    def _linked(self, target: Target) -> dict[str, str]:
        found = {}
        for context, name in links(target).items():
            image = self.build(name, linked=self._targets[name].get("output") == [{"type": "cacheonly"}])
            if not image:
                raise CommandFailed(f"target {name} is a context of another one: its output cannot be elsewhere only")
            found[context] = f"docker-image://{image}"
        return found

    def _run(self, name: str, target: Target) -> str:
        from .build import build

        with tempfile.TemporaryDirectory(prefix="sampan-bake-") as scratch:
            identity, metadata = (os.path.join(scratch, file) for file in ("id", "metadata"))
            words = [f"--progress={self._progress}", f"--metadata-file={metadata}", *flags_of(name, target, scratch)]
            if not any(output.get("type") in ("local", "tar") for output in target.get("output", ())):
                words.append(f"--iidfile={identity}")
            options, rest = Parser(build.flags).parse([*words, "--", target.get("context", ".")])
            build.run(self._session, options, rest)
            self.metadata[name] = json.loads(_content(metadata))
            return _content(identity)

    def _discard(self, image: str) -> None:
        from sampan.errors import SampanError

        try:
            if not self._session.client.image_inspect(image).get("RepoTags"):
                self._session.client.image_remove(image)
        except SampanError:
            return  # somebody else has taken or removed it


def _content(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def flags_of(name: str, target: Target, scratch: str) -> list[str]:
    """The flags of `build` that a target stands for; an inline Dockerfile is written into the directory `scratch`."""
    for key in _UNKNOWN:
        if target.get(key):
            raise CommandFailed(f"target {name}: {key} cannot be built here")
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
