"""From text to logical lines: parser directives, comments, continuations, here-documents.

Reference: the Dockerfile reference of docker/dockerfile:1, sections «Format», «Parser directives», «Here-Documents».
"""

from __future__ import annotations

import re

from msgspec import Struct

from .errors import DockerfileError

DIRECTIVES = frozenset({"syntax", "escape", "check"})
HEREDOC_INSTRUCTIONS = frozenset({"ADD", "COPY", "RUN"})

_DIRECTIVE = re.compile(r"^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_COMMENT = re.compile(r"^\s*#")
_HEREDOC = re.compile(r"^(\d*)<<(-?)([^<]+)$")


class Heredoc(Struct, frozen=True):
    """`expand` is false where the delimiter was quoted; `chomp` strips leading tabs (`<<-`)."""

    name: str
    content: str
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0


class LogicalLine(Struct, frozen=True):
    """One instruction as written: continuations joined, comments dropped; `first` and `last` count from 1.

    `has_gap`: there is an empty line among the continued ones; `comment` the text of the last
    comment before it.
    """

    text: str
    first: int
    last: int
    heredocs: tuple[Heredoc, ...] = ()
    has_gap: bool = False
    comment: str = ""


def read_directives(lines: list[str]) -> dict[str, str]:
    """The `# key=value` lines at the very top; a repeated or a bad `escape` one is an error."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.match(line)
        key = match.group(1).lower() if match else ""
        if match is None or key not in DIRECTIVES:
            break
        if key in found:
            raise DockerfileError(f"only one {key} parser directive can be used", number)
        found[key] = match.group(2)
        if key == "escape" and found[key] not in ("\\", "`"):
            raise DockerfileError(f"invalid escape token '{found[key]}' does not match ` or \\", number, plain=True)
    return found


class Reader:
    """Yields the logical lines of a Dockerfile."""

    def __init__(self, text: str) -> None:
        self.lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        self.directives = read_directives(self.lines)
        self.escape = self.directives.get("escape", "\\")
        escape = re.escape(self.escape)
        self._continued = re.compile(rf"([^{escape}]){escape}[ \t]*$|^{escape}[ \t]*$")
        self._next = 0

    def logical_lines(self) -> list[LogicalLine]:
        """All of them, in order."""
        found, comment = [], ""
        while self._next < len(self.lines):
            line = self.lines[self._next]
            if not line.strip() or _COMMENT.match(line):
                is_directive = self._next < len(self.directives)
                comment = line.strip().lstrip("#").strip() or comment if line.strip() and not is_directive else comment
                self._next += 1
                continue
            found.append(self._read_one(comment))
            comment = ""
        return [line for line in found if line.text]

    def _read_one(self, comment: str) -> LogicalLine:
        first = last = self._next + 1
        text, more = self._strip_continuation(self.lines[self._next].lstrip())
        self._next += 1
        has_gap = False
        while more and self._next < len(self.lines):
            line = self.lines[self._next]
            self._next += 1
            if not line.strip():
                has_gap = True
                continue
            if _COMMENT.match(line):
                continue
            part, more = self._strip_continuation(line)
            text += part
            last = self._next
        heredocs = self._read_heredocs(text, first)
        last = max(last, self._next if heredocs else last)
        return LogicalLine(text.rstrip(), first, last, heredocs, has_gap, comment)

    def _strip_continuation(self, line: str) -> tuple[str, bool]:
        match = self._continued.search(line)
        return (line[: match.start()] + (match.group(1) or ""), True) if match else (line, False)

    def _read_heredocs(self, text: str, first: int) -> tuple[Heredoc, ...]:
        if instruction_name(text) not in HEREDOC_INSTRUCTIONS:
            return ()
        return tuple(self._read_heredoc(start, first) for start in heredoc_starts(text, self.escape))

    def _read_heredoc(self, start: Heredoc, first: int) -> Heredoc:
        content: list[str] = []
        while self._next < len(self.lines):
            line = self.lines[self._next]
            self._next += 1
            if start.chomp:
                line = line.lstrip("\t")
            if line == start.name:
                body = "".join(f"{one}\n" for one in content)
                return Heredoc(start.name, body, start.expand, start.chomp, start.descriptor)
            content.append(line)
        raise DockerfileError("unterminated heredoc", first, plain=True)


def instruction_name(text: str) -> str:
    """The instruction's word in capitals; for ONBUILD, that of the instruction it wraps."""
    words = text.split(None, 2)
    if len(words) > 1 and words[0].upper() == "ONBUILD":
        return words[1].upper()
    return words[0].upper() if words else ""


def heredoc_starts(text: str, escape: str) -> list[Heredoc]:
    """The here-documents that a line opens, without their content."""
    found = []
    for word in split_words(text, escape):
        match = _HEREDOC.match(word)
        if match is None:
            continue
        name = unquote(match.group(3), escape)
        if name:
            expand = name == match.group(3)
            found.append(Heredoc(name, "", expand, bool(match.group(2)), int(match.group(1) or 0)))
    return found


def split_words(text: str, escape: str) -> list[str]:
    """Words as a shell sees them, quotes and escapes kept."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        char = text[position]
        if char == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            if word:
                words.append(word)
            word = ""
            position += 1
            continue
        word += char
        position += 1
    return [*words, word] if word else words


def unquote(word: str, escape: str) -> str:
    """A word without its quotes and escapes; nothing is expanded."""
    out, quote, position = "", "", 0
    while position < len(word):
        char = word[position]
        if char == escape and quote != "'" and position + 1 < len(word):
            position += 1
            out += word[position]
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            out += char
        position += 1
    return out
