"""What the Dockerfile front end says of a Dockerfile without building it: `docker build --check`, `--call`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..build.builder import BuildRequest, builder_of
from ..build.frontend.dockerfile import needed
from ..build.progress import BuildEvent, Failed, Warned
from ..dockerfile.errors import DockerfileError, excerpt
from ..dockerfile.mounts import parse_mount
from ..dockerfile.parser import Instruction
from ..dockerfile.stages import Stage, arg_pairs, flag_values
from ..errors import InvalidArgument, NotImplementedHere
from .failing import line_range, source
from .rules import described, page

if TYPE_CHECKING:
    from .solves import Solve

LINT: Final = "frontend.lint"
Answer = dict[str, bytes]
_VERSION: Final = b"1.0.0"


def answer(solve: Solve, asked: str, request: BuildRequest) -> Answer:
    """The metadata of a result without a tree: `result.json`, `result.txt`, `version`."""
    if asked not in _SUBREQUESTS:
        raise NotImplementedHere(f"unsupported subrequest {asked}")
    return _SUBREQUESTS[asked](solve, request)


def _answer(value: object, text: str, **more: bytes) -> Answer:
    document = msgspec.json.format(msgspec.json.encode(value), indent=2)
    return {"result.json": document, "result.txt": text.encode(), "version": _VERSION, **more}


def _location(line: int) -> dict[str, object]:
    return {"ranges": [line_range(line)]}


def _lint(solve: Solve, request: BuildRequest) -> Answer:
    """Findings of the lint, and the mistake that would end a build."""
    findings: list[Warned] = []
    broken: dict[str, object] = {}
    line = 0

    def listen(event: BuildEvent) -> None:
        nonlocal line
        if isinstance(event, Warned) and event.rule:
            findings.append(event)
        elif isinstance(event, Failed):
            line = event.line

    try:
        builder_of(solve.engine).check(request, listen)
    except DockerfileError as error:
        broken = {"message": str(error), "location": _location(line)}
    except InvalidArgument as error:  # `check=error=true`: the findings say it
        if not findings:
            broken = {"message": str(error), "location": {}}
    result: dict[str, object] = {"warnings": list(map(_warning, findings)), "sources": [source(solve.progress)]}
    if broken:
        result["buildError"] = broken
    text = "".join(_shown(solve, one) for one in findings)
    return _answer(result, text) | {"result.statuscode": b"1" if findings or broken else b"0"}


def _warning(found: Warned) -> dict[str, object]:
    return {
        "ruleName": found.rule, "description": described(found.rule), "url": page(found.rule), "detail": found.text,
        "location": _location(found.line),
    }  # fmt: skip


def _shown(solve: Solve, found: Warned) -> str:
    info = solve.progress.source
    lines = excerpt(info.data.decode("utf-8", "replace"), info.filename, found.line)
    return f"\nWARNING: {found.rule} - {page(found.rule)}\n{found.text}\n{lines}\n"


def _targets(solve: Solve, request: BuildRequest) -> Answer:
    """The stages that can be built."""
    found = builder_of(solve.engine).parsed(request).plan
    last = found.stages[-1]
    listed = [_target(stage, default=stage is last) for stage in found.stages if stage.name or stage is last]
    rows = [
        (f"{one.get('name', '')} (default)".lstrip() if one.get("default") else one["name"], one.get("description", ""))
        for one in listed
    ]
    return _answer(
        {"targets": listed, "sources": [solve.progress.source.data]}, _table(("TARGET", "DESCRIPTION"), rows)
    )


def _target(stage: Stage, *, default: bool) -> dict[str, Any]:
    values = {
        "name": stage.name, "default": default, "description": _description(stage.origin, stage.name),
        "base": stage.base, "platform": stage.platform,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value} | {"location": _location(stage.origin.line.first)}


def _outline(solve: Solve, request: BuildRequest) -> Answer:
    """What a target takes: build arguments, secrets, agents, caches."""
    found = builder_of(solve.engine).parsed(request).plan
    target = found.find(request.target)
    instructions = [one for stage in needed(found, target) for one in stage.instructions]
    arguments = list(_arguments(instructions, request.arguments))
    mounts = [(parse_mount(text), one) for one in instructions if one.name == "RUN"
              for text in flag_values(one, "mount") if "$" not in text]  # fmt: skip
    given = {
        "name": target.name, "description": _description(target.origin, target.name), "args": arguments,
        "secrets": [_input(one.id, one.required, line) for one, line in mounts if one.type == "secret"],
        "ssh": [_input(one.id or "default", one.required, line) for one, line in mounts if one.type == "ssh"],
        "cache": [{"ID": one.id or one.target, "location": _location(line.line.first)}
                  for one, line in mounts if one.type == "cache"],
    }  # fmt: skip
    result = {name: value for name, value in given.items() if value}
    return _answer({**result, "sources": [solve.progress.source.data]}, _outline_text(result))


def _arguments(instructions: Sequence[Instruction], given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for one in instructions:
        if one.name == "ARG":
            for name, default in arg_pairs(one):
                values = {"description": _description(one, name), "value": given.get(name, default)}
                yield {
                    "name": name, **{key: value for key, value in values.items() if value},
                    "location": _location(one.line.first),
                }  # fmt: skip


def _input(name: str, required: bool, origin: Instruction) -> dict[str, Any]:
    return {"name": name, **({"required": True} if required else {}), "location": _location(origin.line.first)}


def _outline_text(result: Mapping[str, Any]) -> str:
    text = f"TARGET:\t{result['name']}\n\n" if "name" in result else ""
    if arguments := result.get("args"):
        rows = [(one["name"], one.get("value", ""), one.get("description", "")) for one in arguments]
        text += _table(("BUILD ARG", "VALUE", "DESCRIPTION"), rows, 3) + "\n"
    for key, title in (("secrets", "SECRET"), ("ssh", "SSH")):
        if inputs := result.get(key):
            rows = [(one["name"], "true" if one.get("required") else "", "") for one in inputs]
            text += _table((title, "REQUIRED", ""), rows, 3) + "\n"
    return text


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], gap: int = 1) -> str:
    """Columns as wide as their widest cell; the last one is as wide as it is."""
    widths = [max(len(row[column]) for row in (head, *rows)) + gap for column in range(len(head) - 1)]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in (head, *rows))
    return "".join(f"{line}\n" for line in lines)


def _description(origin: Instruction, name: str) -> str:
    """A comment above an instruction that begins with what the instruction names."""
    comment = origin.line.comment
    return comment.removeprefix(f"{name} ").strip() if name and comment.startswith(f"{name} ") else ""


_SUBREQUESTS: Mapping[str, Callable[[Solve, BuildRequest], Answer]] = {
    LINT: _lint,
    "frontend.outline": _outline,
    "frontend.targets": _targets,
}
