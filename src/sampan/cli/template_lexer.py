"""Go's template language, first step: text and actions, and the tokens inside an action (text/template, "Actions")."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = re.compile(
    r"""(?P<space>\s+)
      |(?P<string>"(?:\\.|[^"\\\n])*")
      |(?P<raw>`[^`]*`)
      |(?P<char>'(?:\\.[^']*|[^'\\])')
      |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+))
      |(?P<field>\.[A-Za-z_]\w*)
      |(?P<dot>\.)
      |(?P<variable>\$\w*)
      |(?P<name>[A-Za-z_]\w*)
      |(?P<declare>:=)|(?P<assign>=)|(?P<pipe>\|)|(?P<open>\()|(?P<close>\))|(?P<comma>,)""",
    re.VERBOSE,
)
SPACE = " \t\r\n"
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"', "'": "'"}
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)


class TemplateSyntaxError(Exception):
    """The template cannot be parsed; the text is Go's, with the line."""


class Token:
    __slots__ = ("column", "kind", "line", "spaced", "text")

    def __init__(self, kind: str, text: str, line: int, column: int, spaced: bool) -> None:
        self.kind, self.text, self.line, self.column, self.spaced = kind, text, line, column, spaced


class Piece:
    """A stretch of text, or an action as its tokens."""

    __slots__ = ("text", "tokens")

    def __init__(self, text: str, tokens: list[Token] | None) -> None:
        self.text, self.tokens = text, tokens


def unquote(text: str) -> str:
    """A Go string or character constant without its quotes and escapes."""
    if text.startswith("`"):
        return text[1:-1]
    return ESCAPE.sub(_unescape, text[1:-1])


def _unescape(match: re.Match[str]) -> str:
    hexadecimal = match[1] or match[2] or match[3]
    if hexadecimal:
        return chr(int(hexadecimal, 16))
    if match[4]:
        return chr(int(match[4], 8))
    if match[5] not in ESCAPES:
        raise TemplateSyntaxError("invalid syntax")
    return ESCAPES[match[5]]


def pieces(source: str) -> Iterator[Piece]:
    """Text and actions in turn; `{{-` and `-}}` have trimmed the text, comments are gone."""
    position, trim_next = 0, False
    while position < len(source):
        start = source.find("{{", position)
        text = source[position:] if start < 0 else source[position:start]
        if trim_next:
            text = text.lstrip(SPACE)
        if start < 0:
            yield Piece(text, None)
            return
        trims_before = source.startswith("{{-", start) and source[start + 3 : start + 4] in tuple(SPACE)
        yield Piece(text.rstrip(SPACE) if trims_before else text, None)
        tokens, position, trim_next = _action(source, start + (4 if trims_before else 2))
        if tokens is not None:
            yield Piece("", tokens)


def _line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1


def _action(source: str, position: int) -> tuple[list[Token] | None, int, bool]:
    """Tokens up to the closing delimiter, the position after it, and whether it trims what follows."""
    if source.startswith("/*", position):
        return _comment(source, position)
    tokens: list[Token] = []
    spaced = False
    while position < len(source):
        if source.startswith("}}", position):
            return tokens, position + 2, False
        if source[position] in SPACE and source.startswith("-}}", position + 1):
            return tokens, position + 4, True
        match = TOKEN.match(source, position)
        if match is None:
            raise TemplateSyntaxError(_unexpected(source, position))
        if match.lastgroup != "space":
            column = position - (source.rfind("\n", 0, position) + 1)
            tokens.append(Token(str(match.lastgroup), match[0], _line(source, position), column, spaced))
        spaced = match.lastgroup == "space"
        position = match.end()
    raise TemplateSyntaxError(f"template: :{_line(source, len(source))}: unclosed action")


def _unexpected(source: str, position: int) -> str:
    line, character = _line(source, position), source[position]
    if character in "\"'`":
        kind = {'"': "quoted string", "'": "character constant", "`": "raw quoted string"}[character]
        return f"template: :{line}: unterminated {kind}"
    return f"template: :{line}: unexpected {character!r} in command"


def _comment(source: str, position: int) -> tuple[None, int, bool]:
    end = source.find("*/", position)
    if end < 0:
        raise TemplateSyntaxError(f"template: :{_line(source, position)}: unclosed comment")
    rest = source[end + 2 :]
    if rest.startswith("}}"):
        return None, end + 4, False
    if rest[:1] in tuple(SPACE) and rest.startswith("-}}", 1):
        return None, end + 6, True
    raise TemplateSyntaxError(f"template: :{_line(source, position)}: comment ends before closing delimiter")
