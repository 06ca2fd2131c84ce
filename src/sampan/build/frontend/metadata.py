"""Instructions that change the configuration and make no layer (WORKDIR also makes its directory)."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping

from ...dockerfile.expand import expand_words
from ...dockerfile.parser import Instruction
from ...dockerfile.stages import arg_pairs, flag_value
from ...engine import signals
from ...errors import InvalidArgument
from ...oci.config import Healthcheck
from ..graph import Files, MakeDirectory, Vertex
from .naming import shown_text
from .stage import StageState

DEFAULT_SHELL = ("/bin/sh", "-c")
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PORT = re.compile(r"^(\d+)(?:-(\d+))?(?:/([a-zA-Z]+))?$")


def shell(state: StageState) -> list[str]:
    """The shell of shell-form commands."""
    return list(state.config.shell) if isinstance(state.config.shell, list) else list(DEFAULT_SHELL)


def _command(state: StageState, instruction: Instruction) -> list[str]:
    if instruction.exec_form:
        return list(instruction.arguments)
    return [*shell(state), instruction.arguments[0]]


def _cmd(state: StageState, instruction: Instruction) -> None:
    state.config.cmd = _command(state, instruction)
    state.config.args_escaped = True
    state.command_set = True
    state.note(f"CMD {_quoted_list(state.config.cmd)}")


def _entrypoint(state: StageState, instruction: Instruction) -> None:
    state.config.entrypoint = _command(state, instruction)
    if not state.command_set:
        state.config.cmd = None
    state.note(f"ENTRYPOINT {_quoted_list(state.config.entrypoint)}")


def _quoted_list(words: list[str] | None) -> str:
    """As Go prints a list with %q."""
    return "[" + " ".join(json.dumps(word, ensure_ascii=False) for word in words or ()) + "]"


def _pairs(state: StageState, instruction: Instruction) -> list[tuple[str, str]]:
    words = [state.expand(word, instruction) for word in instruction.arguments]
    return list(zip(words[::2], words[1::2], strict=True))


def _env(state: StageState, instruction: Instruction) -> None:
    pairs = _pairs(state, instruction)
    for name, value in pairs:
        state.set_environment(name, value)
    state.note("ENV " + " ".join(f"{name}={value}" for name, value in pairs))


def _label(state: StageState, instruction: Instruction) -> None:
    pairs = _pairs(state, instruction)
    state.config.labels = {**(state.config.labels or {}), **dict(pairs)}
    state.note("LABEL " + " ".join(f"{name}={value}" for name, value in pairs))


def _maintainer(state: StageState, instruction: Instruction) -> None:
    state.author = instruction.arguments[0]
    state.note(f"MAINTAINER {state.author}")


def _expose(state: StageState, instruction: Instruction) -> None:
    ports: list[str] = []
    for written in sorted(instruction.arguments):  # BuildKit sorts before it expands
        for word in expand_words(written, state.variables(), state.escape):
            ports += _port_range(word, instruction)
    known = state.config.exposed_ports if isinstance(state.config.exposed_ports, dict) else {}
    state.config.exposed_ports = {**known, **{port: {} for port in ports}}
    state.note(f"EXPOSE {_go_list(ports)}")


def _go_list(ports: list[str]) -> str:
    return "[" + " ".join(ports) + "]"


def _port_range(word: str, instruction: Instruction) -> list[str]:
    match = _PORT.match(word)
    if match is None:
        raise instruction.refusal(f"invalid containerPort: {word}")
    first, last, protocol = int(match[1]), int(match[2] or match[1]), (match[3] or "tcp").lower()
    if protocol not in ("tcp", "udp", "sctp") or not first <= last <= 65535:
        raise instruction.refusal(
            f"invalid proto: {word}" if first <= last else f"invalid range specified for port: {word}"
        )
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _user(state: StageState, instruction: Instruction) -> None:
    state.config.user = state.expand(instruction.arguments[0], instruction)
    state.note(f"USER {state.config.user}")


def _workdir(state: StageState, instruction: Instruction) -> None:
    written = state.expand(instruction.arguments[0], instruction)
    path = posixpath.normpath(posixpath.join("/", state.config.working_dir or "/", written))
    state.config.working_dir = path.replace("//", "/", 1)
    make = MakeDirectory(path=state.config.working_dir, owner=state.config.user)
    shown = shown_text(instruction.arguments[0], state.variables())
    vertex = Vertex(
        op=Files((make,)), inputs=(state.vertex,), name=f"WORKDIR {shown}", stage=state.position,
        line=instruction.line.first, ignore_cache=state.ignore_cache,
    )  # fmt: skip
    if state.config.working_dir == "/":
        state.note(f"WORKDIR {state.config.working_dir}")
    else:
        state.advance(vertex, f"WORKDIR {state.config.working_dir}")


def _volume(state: StageState, instruction: Instruction) -> None:
    paths = [state.expand(word, instruction) for word in instruction.arguments]
    if any(not path.strip() for path in paths):
        raise instruction.error("VOLUME specified can not be an empty string")
    state.config.volumes = {**(state.config.volumes or {}), **{path: {} for path in paths}}
    state.note(f"VOLUME {_go_list(paths)}")


def _stopsignal(state: StageState, instruction: Instruction) -> None:
    value = state.expand(instruction.arguments[0], instruction)
    try:
        signals.number(value)
    except InvalidArgument as error:
        raise instruction.refusal(str(error)) from error
    state.config.stop_signal = value
    state.note(f"STOPSIGNAL {value}")


def _shell(state: StageState, instruction: Instruction) -> None:
    if not instruction.arguments:
        raise instruction.error("SHELL requires at least one argument")
    state.config.shell = list(instruction.arguments)
    state.note(f"SHELL {_go_list(list(instruction.arguments))}")


def _onbuild(state: StageState, instruction: Instruction) -> None:
    text = instruction.arguments[0]
    state.config.on_build = [*(state.config.on_build or []), text]


def _healthcheck(state: StageState, instruction: Instruction) -> None:
    kind, *rest = instruction.arguments
    if kind == "CMD-SHELL" and isinstance(state.config.shell, list):
        kind, rest = "CMD", [*state.config.shell, *rest]
    state.config.healthcheck = Healthcheck(
        test=[kind, *rest],
        interval=_duration(instruction, "interval"),
        timeout=_duration(instruction, "timeout"),
        start_period=_duration(instruction, "start-period"),
        start_interval=_duration(instruction, "start-interval"),
        retries=_retries(instruction),
    )
    state.note(f"HEALTHCHECK {_shown_check(state.config.healthcheck)}")


def _shown_check(check: Healthcheck) -> str:
    """As Go prints a pointer to the structure with %q, which is what BuildKit does."""
    times = (check.interval, check.timeout, check.start_period, check.start_interval)
    shown = " ".join(f'"{_go_duration(time)}"' for time in times)
    retries = (
        repr(chr(check.retries))
        if check.retries > 0x1F or check.retries in (9, 10, 13)
        else f"'\\x{check.retries:02x}'"
    )
    return f"&{{{_quoted_list(check.test)} {shown} {retries}}}"


def _go_duration(time: int) -> str:
    """`1h2m3s`, `1m30s`, `500ms`, `0s`."""
    if time < 10**9:
        unit = next(
            ((name, size) for name, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)) if time >= size), ("s", 1)
        )
        return f"{time / unit[1]:.12g}{unit[0]}"
    minutes, seconds = divmod(time, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds / 10**9:.12g}s"
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}" if minutes else text


def _retries(instruction: Instruction) -> int:
    text = flag_value(instruction, "retries", "0")
    if not text.isdigit():
        raise instruction.error(f"invalid value for --retries: {text}")
    return int(text)


def _duration(instruction: Instruction, flag: str) -> int:
    text = flag_value(instruction, flag)
    if text in ("", "0"):
        return 0
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
        unit = re.sub(r"[\d.]", "", text)
        why = (
            f'unknown unit "{unit}" in duration "{text}"'
            if unit and text[0].isdigit()
            else f'invalid duration "{text}"'
        )
        raise instruction.error(f"time: {why}")
    total = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    if 0 < total < 10**6:
        raise instruction.error(f'Interval "{flag}" cannot be less than 1ms')
    return int(total)


def declare_argument(state: StageState, instruction: Instruction, global_args: Mapping[str, str]) -> None:
    """ARG inside a stage."""
    shown = []
    for name, default in arg_pairs(instruction):
        value = state.expand(default, instruction) if default is not None else None
        state.declare(name, value, global_args)
        shown.append(f"{name}={state.arguments[name]}" if name in state.arguments else name)
    state.note("ARG " + " ".join(shown))


HANDLERS: Mapping[str, Callable[[StageState, Instruction], None]] = {
    "CMD": _cmd, "ENTRYPOINT": _entrypoint, "ENV": _env, "LABEL": _label, "MAINTAINER": _maintainer,
    "EXPOSE": _expose, "USER": _user, "WORKDIR": _workdir, "VOLUME": _volume, "STOPSIGNAL": _stopsignal,
    "SHELL": _shell, "ONBUILD": _onbuild, "HEALTHCHECK": _healthcheck,
}  # fmt: skip


def refuse(instruction: Instruction) -> InvalidArgument:
    """For what the table does not know."""
    return instruction.error(f"unknown instruction: {instruction.name}")
