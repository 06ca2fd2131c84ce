"""COPY and ADD as vertices."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from ...dockerfile.parser import Instruction
from ...dockerfile.source import Heredoc
from ...dockerfile.stages import flag_value, flag_values, is_set
from ..graph import SCRATCH, Action, Copy, Files, GitSource, HttpSource, MakeFile, Merge, Vertex
from .naming import shown_text
from .stage import StageState

_GIT = re.compile(r"^(?:git://|git@|ssh://|https?://[^?#]+\.git(?:[?#]|$))")
_HEX = re.compile(r"[0-9a-f]{7,64}")
_HEREDOC_WORD = re.compile(r"^\d*<<-?")

SourceTree = Callable[[str, Instruction], Vertex]
"""From the name after `--from=` to its tree."""


@dataclass(frozen=True)
class _Words:
    sources: list[str]
    heredocs: list[Heredoc]
    target: str


def copy(state: StageState, instruction: Instruction, tree: SourceTree) -> None:
    """COPY, with `--from`, `--link` and the rest."""
    words = _words(state, instruction)
    origin = flag_value(instruction, "from")
    source = tree(state.expand(origin, instruction), instruction) if origin else state.request.context
    actions: list[Action] = []
    if words.sources:
        actions.append(_copy(state, instruction, words, 1, tuple(words.sources), unpack=False))
    actions += _written(state, instruction, words)
    _finish(state, instruction, words, actions, [source] if words.sources else [])


def add(state: StageState, instruction: Instruction) -> None:
    """ADD: as COPY from the context, and URLs, git repositories, local archives unpacked."""
    words = _words(state, instruction)
    actions: list[Action] = []
    local = [source for source in words.sources if not is_remote(source)]
    if local and flag_value(instruction, "checksum"):
        raise instruction.refusal("checksum requires HTTP(S) or Git sources")
    inputs = [state.request.context] if local else []
    if local:
        unpack = flag_value(instruction, "unpack", "true").lower() == "true"
        actions.append(_copy(state, instruction, words, 1, tuple(local), unpack=unpack))
    for source in words.sources:
        if is_remote(source):
            operation = _remote(state, instruction, source)
            inputs.append(Vertex(op=operation, name=f"fetch {source}", stage=state.position))
            unpack = is_set(instruction, "unpack")
            found = f"/{operation.filename}" if isinstance(operation, HttpSource) else "/"
            actions.append(_copy(state, instruction, words, len(inputs), (found,), unpack=unpack))
    actions += _written(state, instruction, words)
    _finish(state, instruction, words, actions, inputs)


def is_remote(source: str) -> bool:
    """A URL or a git repository."""
    return source.startswith(("http://", "https://")) or is_git(source)


def is_git(source: str) -> bool:
    """Whether a URL is a git repository's by its form."""
    return _GIT.match(source) is not None


def git_source(text: str, *, keep_git_dir: bool = False) -> GitSource:
    """`remote[#ref[:subdir]]`."""
    remote, _, fragment = text.partition("#")
    ref, _, subdir = fragment.partition(":")
    return GitSource(remote, ref, posixpath.normpath(subdir).lstrip("/") if subdir else "", keep_git_dir)


def _remote(state: StageState, instruction: Instruction, source: str) -> GitSource | HttpSource:
    checksum = state.expand(flag_value(instruction, "checksum"), instruction)
    if is_git(source):
        if checksum and _HEX.fullmatch(checksum) is None:
            raise instruction.refusal(f"invalid checksum {checksum} for Git URL, expected hex commit hash")
        found = git_source(source, keep_git_dir=is_set(instruction, "keep-git-dir"))
        return msgspec.structs.replace(found, checksum=checksum)
    return HttpSource(source, file_name(source), checksum)


def file_name(url: str) -> str:
    """What a file from a URL is called."""
    name = posixpath.basename(urlsplit(url).path)
    return name if name not in ("", ".", "..") else "download"


def _words(state: StageState, instruction: Instruction) -> _Words:
    if len(instruction.arguments) < 2:
        raise instruction.error(
            f"{instruction.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    *sources, target = (state.expand(word, instruction) if not _HEREDOC_WORD.match(word) else word
                        for word in instruction.arguments)  # fmt: skip
    plain = [source for source in sources if not _HEREDOC_WORD.match(source)]
    if len(sources) > 1 and not target.endswith("/") and target not in (".", ".."):
        raise instruction.error(
            f"When using {instruction.name} with more than one source file, the destination must be a directory and "
            "end with a /"
        )
    return _Words(plain, list(instruction.heredocs), _absolute(state, target))


def _absolute(state: StageState, target: str) -> str:
    path = posixpath.normpath(posixpath.join("/", state.config.working_dir or "/", target)).replace("//", "/", 1)
    is_directory = target in (".", "..") or target.endswith(("/", "/.", "/.."))
    return path if not is_directory or path == "/" else f"{path}/"


def _owner(state: StageState, instruction: Instruction) -> str:
    return state.expand(flag_value(instruction, "chown"), instruction)


def _mode(state: StageState, instruction: Instruction) -> str:
    return state.expand(flag_value(instruction, "chmod"), instruction)


def _copy(
    state: StageState, instruction: Instruction, words: _Words, number: int, sources: tuple[str, ...], *, unpack: bool
) -> Copy:
    return Copy(
        input=number, sources=sources, target=words.target, owner=_owner(state, instruction),
        mode=_mode(state, instruction), unpack=unpack, parents=is_set(instruction, "parents"),
        exclude=tuple(state.expand(value, instruction) for value in flag_values(instruction, "exclude")),
    )  # fmt: skip


def _written(state: StageState, instruction: Instruction, words: _Words) -> list[Action]:
    actions: list[Action] = []
    for heredoc in words.heredocs:
        data = heredoc.content
        if heredoc.expand:
            data = expand_document(data, state, instruction)
        actions.append(
            MakeFile(target=words.target, name=heredoc.name, data=octets(data), mode=_mode(state, instruction),
                     owner=_owner(state, instruction))
        )  # fmt: skip
    return actions


def octets(text: str) -> bytes:
    """Text of a Dockerfile as it was."""
    return text.encode("utf-8", "surrogateescape")


def expand_document(text: str, state: StageState, instruction: Instruction) -> str:
    """Variables of a here-document: quotes mean nothing there."""
    quoted = text.replace("'", "\0q").replace('"', "\0d")
    return state.expand(quoted, instruction).replace("\0q", "'").replace("\0d", '"')


def _finish(
    state: StageState, instruction: Instruction, words: _Words, actions: list[Action], inputs: list[Vertex]
) -> None:
    link = is_set(instruction, "link")
    shown = shown_text(instruction.original.split(None, 1)[1], state.variables())
    name = f"{instruction.name} {shown}"
    base = SCRATCH if link else state.vertex
    vertex = Vertex(
        op=Files(tuple(actions)), inputs=(base, *inputs), name=name, stage=state.position,
        line=instruction.line.first, ignore_cache=state.ignore_cache,
    )  # fmt: skip
    if link:
        vertex = Vertex(op=Merge(), inputs=(state.vertex, vertex), name=name, stage=state.position)
    state.advance(vertex, f"{instruction.name} {_shown_words(state, instruction)} # buildkit")


def _shown_words(state: StageState, instruction: Instruction) -> str:
    given = (("chown", _owner(state, instruction)), ("chmod", _mode(state, instruction)))
    flags = [f"--{name}={value}" for name, value in given if value]
    names = iter(instruction.heredocs)
    words = [f"<<{next(names).name}" if _HEREDOC_WORD.match(word) else state.expand(word, instruction)
             for word in instruction.arguments]  # fmt: skip
    return " ".join([*flags, *words])
