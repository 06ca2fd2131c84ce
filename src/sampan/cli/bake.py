"""`builder bake`: several builds that a file describes (buildx's bake without HCL)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .bake_file import DEFAULT_FILES, BakeFile
from .bake_override import Overrides
from .bake_target import Target, links, ordered
from .baking import CONTEXT_ONLY, Baking
from .build_progress import choose, closing
from .command import ANY, CommandFailed, command
from .flags import Options, boolean, string, string_array

if TYPE_CHECKING:
    from .session import Session


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
    with closing(choose(options["progress"])) as view:
        metadata = Baking(session, targets, view).run(wanted)
    if options["metadata-file"]:
        with open(options["metadata-file"], "w", encoding="utf-8") as file:
            json.dump({name: metadata[name] for name in sorted(metadata)}, file, indent=2)
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
        found[name] = target if name in wanted else {**target, "output": CONTEXT_ONLY}
        queue += links(target).values()
    for target in found.values():
        allowed = target.get("entitlements", [])
        allowed += [one for name in links(target).values() for one in found[name].get("entitlements", [])]
        if allowed:
            target["entitlements"] = list(dict.fromkeys(allowed))
    return found


def _shown(value: Any) -> Any:
    """A value of a target so that what is printed, read again, means the same."""
    if isinstance(value, dict):
        first = ("id", "src") if "id" in value else ()  # a secret
        names = sorted(value, key=lambda name: (first.index(name) if name in first else len(first), name))
        return {name: _shown(value[name]) for name in names}
    if isinstance(value, list):
        return [_shown(held) for held in value]
    return value.replace("${", "$${").replace("%{", "%%{") if isinstance(value, str) else value
