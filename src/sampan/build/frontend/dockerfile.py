"""From a Dockerfile's text to the target: which stages are needed, their bases, their instructions in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from ...dockerfile.lint import PLATFORM_ARGS
from ...dockerfile.parser import Dockerfile, Instruction, parse, parse_line
from ...dockerfile.source import LogicalLine
from ...dockerfile.stages import Plan, Stage, check_flags, flag_value, flag_values, plan
from ...oci import platform as platforms
from ...oci.platform import Platform
from ..graph import SCRATCH, Copy, Files, GitSource, HttpSource, ImageSource, LocalSource, Vertex
from ..progress import PlannedStep
from . import files, metadata
from . import run as runs
from .including import ReadFile, include
from .request import Request, ResolvedImage, Resolver, Target
from .stage import DEFAULT_PATH, StageState


class Parsed(Struct, frozen=True):
    """A Dockerfile as the front end needs it."""

    dockerfile: Dockerfile
    plan: Plan


def platform_arguments(request: Request) -> dict[str, str]:
    """The predefined ARGs of the global scope."""
    values = {}
    for prefix, platform in (("TARGET", request.platform), ("BUILD", request.build_platform)):
        values[f"{prefix}PLATFORM"] = str(platform)
        values[f"{prefix}OS"] = platform.os
        values[f"{prefix}ARCH"] = platform.architecture
        values[f"{prefix}VARIANT"] = platform.variant
    return values


def read(text: str, request: Request, included: ReadFile) -> Parsed:
    """Parse and split into stages; raises DockerfileError."""
    dockerfile = include(parse(text), included)
    scope = {**platform_arguments(request), **request.arguments}
    return Parsed(dockerfile, plan(dockerfile, scope))


async def convert(parsed: Parsed, request: Request, resolve: Resolver) -> Target:
    """The target's tree and configuration; base images are looked up all at once."""
    return await _Conversion(parsed, request, resolve).run()


class _Conversion:
    def __init__(self, parsed: Parsed, request: Request, resolve: Resolver) -> None:
        self._parsed = parsed
        self._request = request
        self._resolve = resolve
        self._states: dict[int, StageState] = {}
        self._images: dict[tuple[str, Platform], ResolvedImage] = {}
        self._global = {**parsed.plan.global_args, **platform_arguments(request)}

    async def run(self) -> Target:
        target = self._parsed.plan.find(self._request.target)
        stages = needed(self._parsed.plan, target)
        await self._resolve_all(stages)
        for stage in stages:
            self._states[stage.index] = await self._stage(stage)
        found = self._states[target.index].target()
        found.plan = [*self._before_from(), *(step for stage in stages for step in self._states[stage.index].planned)]
        last = target.origin.line.first
        found.plan += [
            PlannedStep(f"LABEL {name}={value}", last) for name, value in sorted(self._request.labels.items())
        ]
        return found

    def _before_from(self) -> Iterator[PlannedStep]:
        for instruction in self._parsed.dockerfile.instructions:
            if instruction.name == "FROM":
                return
            yield PlannedStep(instruction.original, instruction.line.first)

    def _earlier(self, name: str, before: Stage) -> Stage | None:
        return earlier(self._parsed.plan, name, before)

    async def _resolve_all(self, stages: list[Stage]) -> None:
        wanted: dict[tuple[str, Platform], None] = {}
        for stage in stages:
            base = self._reference(stage.base)
            if stage.parent is None and base:
                wanted[base, self._platform(stage)] = None
            for name in _mentioned(stage):
                if self._is_image(name, stage):
                    wanted[name, self._request.platform] = None
        found = await asyncio.gather(*(self._resolve(*key) for key in wanted))
        self._images.update(zip(wanted, found, strict=True))

    def _reference(self, name: str) -> str:
        """The image that a name after FROM means, or that a build context of that name is; empty for neither."""
        context = self._request.contexts.get(self._request.context_key(name))
        if context is None:
            return name if name != "scratch" else ""
        return context.op.reference if isinstance(context.op, ImageSource) else ""

    def _is_image(self, name: str, stage: Stage) -> bool:
        if self._request.context_key(name) or "$" in name or name == "scratch":
            return False
        if name.lower() == stage.name:
            raise stage.origin.refusal(f"circular dependency detected on stage: {name}")
        return self._earlier(name, stage) is None

    def _platform(self, stage: Stage) -> Platform:
        return platforms.parse(stage.platform) if stage.platform else self._request.platform

    async def _stage(self, stage: Stage) -> StageState:
        state = StageState(stage, self._request, self._parsed.dockerfile.escape, self._title(stage))
        triggers: list[str] = []
        if stage.parent is not None:
            parent = self._states[stage.parent.index]
            state.continue_from(parent)
            triggers, state.config.on_build = list(parent.config.on_build or []), None
        elif base := self._reference(stage.base):
            image = self._images[base, self._platform(stage)]
            place = stage.origin.line.first
            state.vertex = msgspec.structs.replace(image.vertex, stage=state.position, line=place)
            triggers = list(image.config.config.on_build or []) if image.config.config else []
            state.inherit(image.config, image.config.platform)
        elif key := self._request.context_key(stage.base):
            triggers = self._begin_with(state, key)
        if stage.base == "scratch":
            state.config.env, state.config.working_dir = [f"PATH={DEFAULT_PATH}"], "/"
        state.planned.append(_planned(stage.origin, state, SCRATCH))
        triggered = [_trigger(text, stage.origin, state.escape) for text in triggers]
        for instruction in [*triggered, *stage.instructions]:
            before = state.vertex
            self._apply(state, instruction)
            state.planned.append(_planned(instruction, state, before))
        return state

    def _begin_with(self, state: StageState, key: str) -> list[str]:
        """Begin with a named context, which may be what another build gives; its triggers."""
        state.vertex = self._request.contexts[key]
        target = self._request.targets.get(key)
        if isinstance(state.vertex.op, LocalSource | GitSource | HttpSource):
            state.advance(_laid_out(state), f"FROM {state.stage.base}")
            state.config.env, state.config.working_dir = [f"PATH={DEFAULT_PATH}"], "/"
        if target is None:
            return []
        state.continue_from_target(target)
        triggers, state.config.on_build = list(target.config.on_build or []), None
        return triggers

    def _title(self, stage: Stage) -> str:
        """As BuildKit has it: a lone stage has no name, unless it takes something from outside of it."""
        name = "" if _is_lone(self._parsed.plan) else stage.name or f"stage-{stage.index}"
        return f"{self._platform(stage)} {name}".rstrip() if self._request.several else name

    def _apply(self, state: StageState, instruction: Instruction) -> None:
        def tree(name: str, user: Instruction) -> Vertex:
            return self._tree(name, state, user)

        match instruction.name:
            case "RUN":
                runs.run(state, instruction, tree)
            case "COPY":
                files.copy(state, instruction, tree)
            case "ADD":
                files.add(state, instruction)
            case "ARG":
                metadata.declare_argument(state, instruction, self._global)
            case name if name in metadata.HANDLERS:
                metadata.HANDLERS[name](state, instruction)
            case _:
                raise metadata.refuse(instruction)

    def _tree(self, name: str, state: StageState, user: Instruction) -> Vertex:
        if key := self._request.context_key(name):
            return self._request.contexts[key]
        if name == "scratch":
            return SCRATCH
        stage = self._earlier(name, state.stage)
        if stage is not None:
            if stage.index not in self._states:
                raise user.error(f"stage {name} is not part of what the target needs")
            return self._states[stage.index].vertex
        image = self._images.get((name, self._request.platform))
        if image is None:
            raise user.error(f"{name}: no such stage, and variables do not name images here")
        return image.vertex


def _is_lone(parsed: Plan) -> bool:
    first, *others = parsed.stages
    return not (others or _mentioned(first) or any(flag_values(one, "mount") for one in first.instructions))


def needed(parsed: Plan, target: Stage) -> list[Stage]:
    """A stage and those that it stands on or takes files from, in the file's order."""
    found: set[int] = set()
    queue = [target]
    while queue:
        stage = queue.pop()
        if stage.index not in found:
            found.add(stage.index)
            queue += _uses(parsed, stage)
    return [stage for stage in parsed.stages if stage.index in found]


def _uses(parsed: Plan, stage: Stage) -> list[Stage]:
    used = [stage.parent] if stage.parent is not None else []
    for name in _mentioned(stage):
        other = earlier(parsed, name, stage)
        if other is not None:
            used.append(other)
    return used


def earlier(parsed: Plan, name: str, before: Stage) -> Stage | None:
    """The stage that `--from=name` means; numbers count from 0."""
    above = parsed.stages[: before.index]
    for stage in reversed(above):
        if stage.name and stage.name == name.lower():
            return stage
    return above[int(name)] if name.isdigit() and int(name) < len(above) else None


def _laid_out(state: StageState) -> Vertex:
    """The tree of a directory or a repository that a stage begins from: a layer with all of it."""
    copy = Files((Copy(input=1, sources=("/",), target="/"),))
    place = state.stage.origin.line.first
    return Vertex(
        op=copy, inputs=(SCRATCH, state.vertex), name=f"FROM {state.stage.base}", stage=state.position, line=place
    )


def _planned(instruction: Instruction, state: StageState, before: Vertex) -> PlannedStep:
    after = state.vertex
    step = after.definition if after.definition != before.definition else ""
    image = after.op.digest if step and isinstance(after.op, ImageSource) else ""
    return PlannedStep(instruction.original, instruction.line.first, step, image)


def _mentioned(stage: Stage) -> list[str]:
    """Names after `--from=` and `from=` of mounts."""
    names = []
    for instruction in stage.instructions:
        if instruction.name == "COPY" and (name := flag_value(instruction, "from")):
            names.append(name)
        if instruction.name == "RUN":
            for mount in flag_values(instruction, "mount"):
                names += [part.partition("=")[2] for part in mount.split(",") if part.startswith("from=")]
    return names


def _trigger(text: str, origin: Instruction, escape: str) -> Instruction:
    instruction = parse_line(LogicalLine(text, origin.line.first, origin.line.last), escape)
    check_flags(instruction)
    return instruction


def unused_arguments(parsed: Parsed, arguments: Mapping[str, str]) -> list[str]:
    """Build arguments that no ARG takes: worth a warning."""
    from ...dockerfile.stages import arg_pairs
    from .request import PROXIES

    declared = {
        name for one in parsed.dockerfile.instructions if one.name == "ARG" for name, _ in arg_pairs(one)
    }  # fmt: skip
    built_in = {name for name in arguments if name == "SOURCE_DATE_EPOCH" or name.startswith("BUILDKIT_")}
    return sorted(set(arguments) - declared - PROXIES - PLATFORM_ARGS - built_in)
