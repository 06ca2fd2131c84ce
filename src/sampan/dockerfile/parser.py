"""The Dockerfile's syntax tree: instructions with flags, arguments and here-documents."""

from __future__ import annotations

import json

from msgspec import Struct, field

from .errors import DockerfileError
from .source import Heredoc, LogicalLine, Reader, split_words, unquote
from .spelling import hint

INSTRUCTIONS = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "INCLUDE", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})  # fmt: skip
_JSON_FORM = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})
_PAIRS = frozenset({"ENV", "LABEL"})
_ONE_STRING = frozenset({"MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"})
_MAY_BE_EMPTY = frozenset({"CMD", "ENTRYPOINT", "VOLUME", "SHELL"})


class Flag(Struct, frozen=True):
    """`--name` or `--name=value`; quotes of the value are removed."""

    name: str
    value: str | None


class Instruction(Struct, frozen=True):
    """One instruction, unexpanded.

    `arguments`: the words (for ENV and LABEL: key, value, key, value …; for the shell forms: one string).
    `exec_form`: it was written as a JSON array. `nested`: the instruction behind ONBUILD.
    """

    name: str
    arguments: tuple[str, ...]
    flags: tuple[Flag, ...]
    exec_form: bool
    line: LogicalLine
    nested: Instruction | None = None

    @property
    def original(self) -> str:
        """As written, on one line."""
        return self.line.text

    @property
    def heredocs(self) -> tuple[Heredoc, ...]:
        return self.line.heredocs

    def error(self, message: str, hint: str = "", word: str = "") -> DockerfileError:
        return DockerfileError(message, self.line.first, hint, word=word)

    def refusal(self, message: str, word: str = "") -> DockerfileError:
        """For what is grammatical and still wrong: the text does not name the line, its `line` does."""
        return DockerfileError(message, self.line.first, plain=True, word=word)


class Dockerfile(Struct, frozen=True):
    """A parsed file: its directives, its instructions, its escape character."""

    instructions: tuple[Instruction, ...]
    directives: dict[str, str] = field(default_factory=dict)
    escape: str = "\\"


def parse(text: str) -> Dockerfile:
    """Parse a Dockerfile; `DockerfileError` names the line of the first mistake."""
    reader = Reader(text)
    instructions = tuple(parse_line(line, reader.escape) for line in reader.logical_lines())
    if not instructions:
        raise DockerfileError("file with no instructions" if text.strip() else "the Dockerfile cannot be empty")
    return Dockerfile(instructions, reader.directives, reader.escape)


def parse_line(line: LogicalLine, escape: str) -> Instruction:
    """Parse one logical line."""
    word = line.text.split(None, 1)[0]
    rest = line.text[len(word) :].lstrip()
    name = word.upper()
    if name not in INSTRUCTIONS:
        raise DockerfileError(f"unknown instruction: {word}", line.first, hint(name, INSTRUCTIONS))
    if name == "ONBUILD":
        return _parse_onbuild(line, rest, escape)
    flags, rest = _split_flags(rest, escape)
    arguments, exec_form = _parse_arguments(name, rest, line, escape)
    if not arguments and not (exec_form and name in _MAY_BE_EMPTY):
        raise DockerfileError(f"{name} requires at least one argument", line.first)
    return Instruction(name, arguments, flags, exec_form, line)


def _parse_onbuild(line: LogicalLine, rest: str, escape: str) -> Instruction:
    if not rest:
        raise DockerfileError("ONBUILD requires at least one argument", line.first)
    nested = parse_line(LogicalLine(rest, line.first, line.last, line.heredocs), escape)
    if nested.name in ("ONBUILD", "FROM", "MAINTAINER"):
        text = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
        if nested.name != "ONBUILD":
            text = f"{nested.name} isn't allowed as an ONBUILD trigger"
        raise DockerfileError(text, line.first)
    return Instruction("ONBUILD", (rest,), (), False, line, nested)


def _split_flags(rest: str, escape: str) -> tuple[tuple[Flag, ...], str]:
    flags = []
    while rest.startswith("--"):
        word = split_words(rest, escape)[0]
        rest = rest[len(word) :].lstrip()
        if word == "--":
            break
        key, equals, value = word[2:].partition("=")
        flags.append(Flag(key, unquote(value, escape) if equals else None))
    return tuple(flags), rest


def _parse_arguments(name: str, rest: str, line: LogicalLine, escape: str) -> tuple[tuple[str, ...], bool]:
    if name in _JSON_FORM and rest.startswith("["):
        decoded = _decode_array(rest)
        if decoded is not None:
            return decoded, True
        if name == "SHELL":
            raise DockerfileError("SHELL requires the arguments to be in JSON form", line.first)
    if name in _PAIRS:
        return _parse_pairs(name, rest, line, escape), False
    if name == "HEALTHCHECK":
        return _parse_healthcheck(rest, line)
    if name in ("CMD", "ENTRYPOINT", "RUN") or name in _ONE_STRING:
        return ((rest,) if rest else ()), False
    if name == "SHELL":
        raise DockerfileError("SHELL requires the arguments to be in JSON form", line.first)
    return tuple(split_words(rest, escape)), False


def _decode_array(text: str) -> tuple[str, ...] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _parse_pairs(name: str, rest: str, line: LogicalLine, escape: str) -> tuple[str, ...]:
    words = split_words(rest, escape)
    if not words:
        return ()
    if "=" not in words[0]:  # the old form: `ENV name the rest of the line`
        key, value = words[0], rest[len(words[0]) :].strip()
        if not value:
            raise DockerfileError(f"{name} must have two arguments", line.first, plain=True)
        return (key, value)
    pairs: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(
                f"Syntax error - can't find = in {json.dumps(word)}. Must be of the form: name=value", line.first,
                plain=True, word=word,
            )  # fmt: skip
        if not key:
            raise DockerfileError(f"{name} names can not be blank", line.first)
        pairs += [key, value]
    return tuple(pairs)


def _parse_healthcheck(rest: str, line: LogicalLine) -> tuple[tuple[str, ...], bool]:
    kind, command = [*rest.split(None, 1), "", ""][:2]
    match kind.upper():
        case "NONE":
            if command:
                raise DockerfileError("HEALTHCHECK NONE takes no arguments", line.first)
            return ("NONE",), False
        case "CMD":
            if not command:
                raise DockerfileError("Missing command after HEALTHCHECK CMD", line.first)
            decoded = _decode_array(command) if command.startswith("[") else None
            return (("CMD", *decoded), True) if decoded is not None else (("CMD-SHELL", command), False)
    raise DockerfileError(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)', line.first)


def render(dockerfile: Dockerfile) -> str:
    """The file in canonical form, an instruction a line; parsing it gives the same instructions again."""
    out = [f"# {key}={value}" for key, value in dockerfile.directives.items()]
    for instruction in dockerfile.instructions:
        out.append(_closed(instruction.line.text, dockerfile.escape))
        for heredoc in instruction.heredocs:
            out.append(heredoc.content + heredoc.name)
    return "\n".join(out) + "\n"


def _closed(text: str, escape: str) -> str:
    """A last line that ends with the escape character was continued by nothing: without that it would be open."""
    ends = text.endswith(escape) and not text.endswith(escape * 2)
    return f"{text}\t{escape}" if ends else text
