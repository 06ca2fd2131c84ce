"""A Dockerfile as stages: FROM lines resolved as far as text alone can, flags checked against what is known.

Reference: docker/dockerfile:1, «FROM», «ARG» (scope), «Automatic platform ARGs in the global scope».
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

from ..errors import InvalidArgument
from .expand import expand
from .parser import Dockerfile, Instruction
from .spelling import hint

FLAGS: Mapping[str, frozenset[str]] = {
    "ADD": frozenset({"keep-git-dir", "checksum", "chown", "chmod", "link", "exclude", "unpack"}),
    "COPY": frozenset({"from", "chown", "chmod", "link", "parents", "exclude"}),
    "FROM": frozenset({"platform"}),
    "HEALTHCHECK": frozenset({"interval", "timeout", "start-period", "start-interval", "retries"}),
    "RUN": frozenset({"mount", "network", "security", "device"}),
}
REPEATABLE = frozenset({"mount", "exclude", "device"})
_STAGE_NAME = re.compile(r"^[a-z][a-z0-9-_.]*$")
_BOOLEAN = frozenset({"keep-git-dir", "link", "parents", "unpack"})


class Stage(Struct):
    """`base` is an image reference, the name of an earlier stage, or `scratch`; `parent` that earlier stage."""

    index: int
    name: str
    base: str
    platform: str
    origin: Instruction
    parent: Stage | None = None
    instructions: list[Instruction] = field(default_factory=list)


class Plan(Struct):
    """All stages in order, and the ARG defaults from before the first FROM (expanded)."""

    stages: list[Stage]
    global_args: dict[str, str]

    def find(self, target: str) -> Stage:
        """A stage by name (case does not count) or by number; the last one for an empty target."""
        if not target:
            return self.stages[-1]
        for stage in reversed(self.stages):
            if stage.name == target.lower():
                return stage
        if target.isdigit() and int(target) < len(self.stages):
            return self.stages[int(target)]
        raise InvalidArgument(f'target stage "{target}" could not be found')


def check_flags(instruction: Instruction) -> None:
    """Refuse a flag that the instruction does not take, or that is given twice."""
    known = FLAGS.get(instruction.name, frozenset())
    seen: set[str] = set()
    for flag in instruction.flags:
        written = f"--{flag.name}"
        if flag.name not in known:
            raise instruction.error(f"unknown flag: {written}", hint(flag.name, known), written)
        if flag.name in seen and flag.name not in REPEATABLE:
            raise instruction.error(f"duplicate flag specified: {written}", word=written)
        if flag.value is None and flag.name not in _BOOLEAN:
            raise instruction.error(f"missing a value on flag: {written}", word=written)
        if flag.name in _BOOLEAN and (flag.value or "true").lower() not in ("true", "false"):
            text = f"expecting boolean value for flag {flag.name}, not: {flag.value}"
            raise instruction.error(text, word=written)
        seen.add(flag.name)
    if instruction.nested is not None:
        check_flags(instruction.nested)


def flag_values(instruction: Instruction, name: str) -> list[str]:
    """All values given for a flag, in order; a boolean flag without a value counts as `true`."""
    return [flag.value if flag.value is not None else "true" for flag in instruction.flags if flag.name == name]


def flag_value(instruction: Instruction, name: str, default: str = "") -> str:
    """The value of a flag that is given once at most."""
    return (flag_values(instruction, name) or [default])[-1]


def is_set(instruction: Instruction, name: str) -> bool:
    """Whether a boolean flag is on."""
    return flag_value(instruction, name, "false").lower() == "true"


def plan(dockerfile: Dockerfile, arguments: Mapping[str, str]) -> Plan:
    """Split into stages. `arguments` are the build arguments given by the user, with the platform ones filled in."""
    global_args: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in dockerfile.instructions:
        check_flags(instruction)
        if instruction.name == "FROM":
            stages.append(_open_stage(instruction, stages, {**arguments, **global_args}, dockerfile.escape))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.name == "ARG":
            for name, default in arg_pairs(instruction):
                scope = {**arguments, **global_args}
                given = arguments.get(name)
                global_args[name] = given if given is not None else expand(default or "", scope, dockerfile.escape)
        else:
            raise instruction.refusal("no build stage in current context")
    if not stages:
        raise InvalidArgument("no build stage in current context")
    return Plan(stages, global_args)


def arg_pairs(instruction: Instruction) -> list[tuple[str, str | None]]:
    """Names and defaults of an ARG line; None where no default is written."""
    pairs: list[tuple[str, str | None]] = []
    for word in instruction.arguments:
        name, equals, value = word.partition("=")
        if not name:
            raise instruction.error("ARG names can not be blank")
        pairs.append((name, value if equals else None))
    return pairs


def _open_stage(instruction: Instruction, stages: list[Stage], scope: Mapping[str, str], escape: str) -> Stage:
    words = instruction.arguments
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise instruction.error("FROM requires either one or three arguments")
    name = words[2].lower() if len(words) == 3 else ""
    if name and not _STAGE_NAME.match(name):
        raise instruction.error(
            f'invalid name for build stage: "{words[2]}", name can\'t start with a number or contain symbols'
        )
    base = expand(words[0], scope, escape)
    if not base:
        raise instruction.refusal(f"base name ({words[0]}) should not be blank")
    platform = expand(flag_value(instruction, "platform"), scope, escape)
    parent = next((stage for stage in reversed(stages) if stage.name and stage.name == base.lower()), None)
    return Stage(len(stages), name, base, platform, instruction, parent)
