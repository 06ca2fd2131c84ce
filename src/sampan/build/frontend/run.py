"""RUN as a vertex."""

from __future__ import annotations

import posixpath

from ...dockerfile.mounts import RunMount, parse_mount
from ...dockerfile.parser import Instruction
from ...dockerfile.stages import flag_value, flag_values
from ...errors import InvalidArgument
from ..graph import SCRATCH, Exec, Files, MakeFile, Mount, Vertex
from .files import SourceTree, octets
from .metadata import shell
from .naming import shown_text
from .request import PROXIES
from .stage import StageState

NETWORKS = ("default", "none", "host")
SECURITIES = ("sandbox", "insecure")
_PIPES = "/dev/pipes"


def run(state: StageState, instruction: Instruction, tree: SourceTree) -> None:
    """One RUN: its command, what it mounts, its network and security."""
    if not state.request.runs(state.platform):
        raise instruction.refusal(
            f"cannot run programs of {state.platform} on {state.request.build_platform}: "
            "binfmt_misc has no interpreter for them (qemu-user-static)"
        )
    inputs: list[Vertex] = [state.vertex]
    mounts = [_mount(state, instruction, text, inputs, tree) for text in flag_values(instruction, "mount")]
    script = _script(instruction)
    if script is not None:
        inputs.append(script)
        mounts.append(Mount(kind="bind", target=_PIPES, input=len(inputs) - 1, read_only=True))
    operation = Exec(
        args=tuple(_command(state, instruction, script is not None)),
        env=tuple(state.run_environment()),
        cwd=state.config.working_dir or "/",
        user=state.config.user,
        mounts=tuple(mounts),
        network=_choice(instruction, "network", NETWORKS, state.request.network),
        security=_choice(instruction, "security", SECURITIES, "sandbox"),
    )
    vertex = Vertex(
        op=operation, inputs=tuple(inputs), name=_name(state, instruction), stage=state.position,
        line=instruction.line.first, ignore_cache=state.ignore_cache,
        unkeyed=tuple(sorted(PROXIES - set(state.environment()))),
    )  # fmt: skip
    state.advance(vertex, f"RUN {_history(state, operation)} # buildkit")


def _command(state: StageState, instruction: Instruction, has_script: bool) -> list[str]:
    if instruction.exec_form:
        return list(instruction.arguments)
    text = instruction.arguments[0]
    if not instruction.heredocs:
        return [*shell(state), text]
    if has_script:
        return [*shell(state), f"{_PIPES}/{instruction.heredocs[0].name}"]
    if _is_lone(instruction):
        return [*shell(state), instruction.heredocs[0].content]  # the shell expands it, not the builder
    # its shell reads the documents again
    documents = "".join(f"\n{one.content}{one.name}" for one in instruction.heredocs)
    return [*shell(state), text + documents]


def _is_lone(instruction: Instruction) -> bool:
    """Whether the command is nothing but a here-document."""
    text = instruction.arguments[0]
    return bool(instruction.heredocs) and text.startswith("<<") and len(text.split()) == 1


def _script(instruction: Instruction) -> Vertex | None:
    """The file of a lone here-document whose `#!` line names its interpreter."""
    if instruction.exec_form or not _is_lone(instruction) or not instruction.heredocs[0].content.startswith("#!"):
        return None
    document = instruction.heredocs[0]
    make = MakeFile(target=f"/{document.name}", name=document.name, data=octets(document.content), mode="755")
    return Vertex(op=Files((make,)), inputs=(SCRATCH,), name=f"script {document.name}")


def _choice(instruction: Instruction, flag: str, allowed: tuple[str, ...], default: str) -> str:
    value = flag_value(instruction, flag, default).lower()
    if value not in allowed and flag_values(instruction, flag):
        raise instruction.error(f'invalid {flag} mode "{value}"')
    return value


def _mount(state: StageState, instruction: Instruction, text: str, inputs: list[Vertex], tree: SourceTree) -> Mount:
    try:
        asked = parse_mount(state.expand(text, instruction))
    except InvalidArgument as error:
        raise instruction.refusal(str(error)) from error
    number = -1
    if asked.type == "bind" or (asked.type == "cache" and asked.from_):
        inputs.append(_source(state, instruction, asked, tree))
        number = len(inputs) - 1
    target = _target(state, asked)
    return Mount(
        kind=asked.type, target=target, input=number, source=asked.source, id=_identity(asked, target),
        read_only=asked.read_only if asked.read_only is not None else asked.type == "bind",
        sharing=asked.sharing, required=asked.required, size=asked.size, mode=_mode(asked), uid=asked.uid or 0,
        gid=asked.gid or 0, env=asked.env,
    )  # fmt: skip


def _source(state: StageState, instruction: Instruction, asked: RunMount, tree: SourceTree) -> Vertex:
    if asked.from_:
        return tree(asked.from_, instruction)
    return state.request.context if asked.type == "bind" else SCRATCH


def _target(state: StageState, asked: RunMount) -> str:
    if asked.target:
        return posixpath.normpath(posixpath.join("/", state.config.working_dir or "/", asked.target))
    if asked.type == "secret" and not asked.env:
        return f"/run/secrets/{asked.id}"
    return ""


def _identity(asked: RunMount, target: str) -> str:
    if asked.id:
        return asked.id
    return {"cache": target, "secret": posixpath.basename(asked.target), "ssh": "default"}.get(asked.type, "")


def _mode(asked: RunMount) -> int:
    if asked.mode is not None:
        return asked.mode
    return {"secret": 0o400, "ssh": 0o600}.get(asked.type, 0o755)


def _name(state: StageState, instruction: Instruction) -> str:
    """As BuildKit shows it: here-documents by their first lines."""
    text = instruction.original.split(None, 1)[1]
    for document in instruction.heredocs:
        first, *more = document.content.strip().splitlines() or [""]
        text += f" ({first}{'...' if more else ''})"
    return f"RUN {shown_text(text, state.variables())}"


def _history(state: StageState, operation: Exec) -> str:
    arguments = state.shown_arguments()
    prefix = [f"|{len(arguments)}", *arguments] if arguments else []
    return " ".join([*prefix, *operation.args])
