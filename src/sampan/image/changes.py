"""`--change` of import and commit: one Dockerfile instruction applied to a configuration."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

from ..errors import InvalidArgument
from ..linux import signals
from ..model.quantity import parse_duration
from ..oci.config import ExecutionConfig, Healthcheck

_ENV_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:\\.|[^"\\])*"|'[^']*')+""", re.DOTALL)


def apply_changes(config: ExecutionConfig, changes: list[str]) -> None:
    """Apply instructions in order; raises InvalidArgument in Docker's words."""
    for change in changes:
        for line in _logical_lines(change):
            instruction, _, rest = line.partition(" ")
            apply = _INSTRUCTIONS.get(instruction.upper())
            if apply is None:
                raise InvalidArgument(f"{instruction.upper()} is not a valid change command")
            apply(config, rest.strip())


def _logical_lines(text: str) -> list[str]:
    joined = re.sub(r"\\[ \t]*\n", "", text)
    return [line.strip().replace("\t", " ", 1) for line in joined.split("\n") if line.strip()]


def json_array(text: str) -> list[str] | None:
    """The exec form `["a", "b"]`, or None for the shell form."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _command(config: ExecutionConfig, text: str) -> list[str]:
    exec_form = json_array(text)
    if exec_form is not None:
        return exec_form
    shell = config.shell if isinstance(config.shell, list) else ["/bin/sh", "-c"]
    return [*shell, text] if text else []


def _cmd(config: ExecutionConfig, text: str) -> None:
    config.cmd = _command(config, text)


def _entrypoint(config: ExecutionConfig, text: str) -> None:
    config.entrypoint = _command(config, text) or None
    config.cmd = None  # an entry point drops the command it inherited (Dockerfile reference, ENTRYPOINT)


def _pairs(instruction: str, text: str) -> list[tuple[str, str]]:
    """`KEY=value …` with Dockerfile quoting, or the older `KEY value`."""
    if not text:
        raise InvalidArgument(f"{instruction} requires at least one argument")
    words = _ENV_WORD.findall(text)
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value:
            raise InvalidArgument(f"{instruction} must have two arguments")
        return [(key, value.strip())]
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidArgument(f"Syntax error - can't find = in {json.dumps(word)}. Must be of the form: name=value")
        pairs.append((_unquote(key), _unquote(value)))
    return pairs


def _unquote(text: str) -> str:
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace = ""
    lexer.whitespace_split = True
    lexer.commenters = ""
    return "".join(lexer)


def _env(config: ExecutionConfig, text: str) -> None:
    environment = list(config.env or [])
    for key, value in _pairs("ENV", text):
        places = [index for index, entry in enumerate(environment) if entry.partition("=")[0] == key]
        if places:
            environment[places[0]] = f"{key}={value}"
        else:
            environment.append(f"{key}={value}")
    config.env = environment


def _label(config: ExecutionConfig, text: str) -> None:
    config.labels = {**(config.labels or {}), **dict(_pairs("LABEL", text))}


def _expose(config: ExecutionConfig, text: str) -> None:
    ports = dict(config.exposed_ports) if isinstance(config.exposed_ports, dict) else {}
    if not text:
        raise InvalidArgument("EXPOSE requires at least one argument")
    for word in text.split():
        ports.update({port: {} for port in expose_range(word)})
    config.exposed_ports = ports


def expose_range(word: str) -> list[str]:
    """`80`, `80/udp` or `8000-8002/tcp` as `port/protocol` names."""
    found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?(?:/([A-Za-z]+))?", word)
    if found is None:
        raise InvalidArgument(f"Invalid containerPort: {word}")
    first, last, protocol = int(found[1]), int(found[2] or found[1]), (found[3] or "tcp").lower()
    if not 0 < first <= last <= 65535:
        raise InvalidArgument(f"Invalid containerPort: {word}")
    if protocol not in {"tcp", "udp", "sctp"}:
        raise InvalidArgument(f"Invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _volume(config: ExecutionConfig, text: str) -> None:
    paths = json_array(text) or text.split()
    if not paths or not all(paths):
        raise InvalidArgument("VOLUME specified can not be an empty string")
    config.volumes = {**(config.volumes or {}), **{path: {} for path in paths}}


def _workdir(config: ExecutionConfig, text: str) -> None:
    import posixpath

    if not text:
        raise InvalidArgument("WORKDIR requires exactly one argument")
    config.working_dir = posixpath.normpath(posixpath.join(config.working_dir or "/", text))


def _user(config: ExecutionConfig, text: str) -> None:
    if not text:
        raise InvalidArgument("USER requires exactly one argument")
    config.user = text


def _stopsignal(config: ExecutionConfig, text: str) -> None:
    try:
        known = signals.number(text) > 0
    except ValueError:
        known = False
    if not known:
        raise InvalidArgument(f"invalid signal: {text}")
    config.stop_signal = text


def _onbuild(config: ExecutionConfig, text: str) -> None:
    trigger = text.split(" ", 1)[0].upper()
    if not trigger:
        raise InvalidArgument("ONBUILD requires at least one argument")
    if trigger == "ONBUILD":
        raise InvalidArgument("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in {"MAINTAINER", "FROM"}:
        raise InvalidArgument(f"{trigger} isn't allowed as an ONBUILD trigger")
    config.on_build = [*(config.on_build or []), text]


def _duration(text: str) -> int:
    """Nanoseconds of a Go duration such as `1m30s`."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


_HEALTH_TIMES = {"interval": "interval", "timeout": "timeout", "start-period": "start_period",
                 "start-interval": "start_interval"}  # fmt: skip


def _healthcheck(config: ExecutionConfig, text: str) -> None:
    flags: dict[str, int] = {}
    while found := re.match(r"--([a-z-]+)=(\S+)\s*", text):
        name, value = found[1], found[2]
        if name in _HEALTH_TIMES:
            flags[_HEALTH_TIMES[name]] = _duration(value)
        elif name == "retries" and re.fullmatch("[0-9]{1,9}", value):
            flags[name] = int(value)
        else:
            raise InvalidArgument(f"unknown flag: --{name}")
        text = text[found.end() :]
    config.healthcheck = Healthcheck(_health_test(text), **flags)


def _health_test(text: str) -> list[str]:
    kind, _, rest = text.strip().partition(" ")
    if kind.upper() == "NONE":
        if rest.strip():
            raise InvalidArgument("HEALTHCHECK NONE takes no arguments")
        return ["NONE"]
    if kind.upper() != "CMD":
        raise InvalidArgument(f"Unknown type {json.dumps(kind)} in HEALTHCHECK (try CMD)")
    exec_form = json_array(rest.strip())
    if not rest.strip() or exec_form == []:
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    return ["CMD", *exec_form] if exec_form else ["CMD-SHELL", rest.strip()]


_INSTRUCTIONS: dict[str, Callable[[ExecutionConfig, str], None]] = {
    "CMD": _cmd, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose, "HEALTHCHECK": _healthcheck,
    "LABEL": _label, "ONBUILD": _onbuild, "STOPSIGNAL": _stopsignal, "USER": _user, "VOLUME": _volume,
    "WORKDIR": _workdir,
}  # fmt: skip
