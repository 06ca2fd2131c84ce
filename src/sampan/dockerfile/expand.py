"""Variable expansion in words: the Dockerfile reference, «Environment replacement».

`$name`, `${name}`, and in braces: `:-` `-` `:+` `+` `:?` `?` (defaults), `#` `##` `%` `%%` (pattern removed from the
start or the end, shortest or longest), `/` `//` (pattern replaced once or everywhere). Quotes are removed, single ones
keep `$` as it is; the escape character keeps the next character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import InvalidArgument

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_MAX_DEPTH = 60


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """One word with its variables replaced and its quotes removed; `InvalidArgument` for a malformed `${…}`."""
    return "".join(text for text, _ in _Scanner(word, variables, escape).run())


def expand_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The same, split at white space that is not quoted, also where it came out of a variable."""
    words: list[str] = []
    current: str | None = None
    for piece, quoted in _Scanner(text, variables, escape).run():
        if quoted:
            current = (current or "") + piece
            continue
        for char in piece:
            if not char.isspace():
                current = (current or "") + char
            elif current is not None:
                words.append(current)
                current = None
    return words if current is None else [*words, current]


def used_names(text: str, escape: str = "\\") -> set[str]:
    """The names of all variables that the text mentions, whether set or not."""
    names: set[str] = set()
    _Scanner(text, _Recorder(names), escape).run()
    return names


class _Recorder(dict[str, str]):
    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self._names = names

    def get(self, key: str, default: str | None = None) -> str:  # type: ignore[override] # never None here
        self._names.add(key)
        return ""


class _Scanner:
    """Walks the text once; yields pieces with a flag whether they were quoted."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, depth: int = 0) -> None:
        self._text = text
        self._variables = variables
        self._escape = escape
        self._at = 0
        self._depth = depth
        if depth > _MAX_DEPTH:
            raise InvalidArgument(f"substitutions are nested more than {_MAX_DEPTH} deep")

    def run(self) -> list[tuple[str, bool]]:
        pieces: list[tuple[str, bool]] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "'":
                pieces.append((self._single(), True))
            elif char == '"':
                pieces.append((self._double(), True))
            elif char == "$":
                pieces.append((self._dollar(), False))
            elif char == self._escape:
                pieces.append((self._escaped(), True))
            else:
                self._at += 1
                pieces.append((char, False))
        return pieces

    def _escaped(self) -> str:
        self._at += 1
        if self._at >= len(self._text):
            return ""
        self._at += 1
        return self._text[self._at - 1]

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise InvalidArgument("unexpected end of statement while looking for matching single-quote")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        return inner

    def _double(self) -> str:
        out = ""
        self._at += 1
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                return out
            if char == "$":
                out += self._dollar()
            elif char == self._escape:
                following = self._text[self._at + 1 : self._at + 2]
                out += following if following in ('"', "$", self._escape) else char + following
                self._at += 2
            else:
                out += char
                self._at += 1
        raise InvalidArgument("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self._at += 1
        if self._text[self._at : self._at + 1] == "{":
            return self._braces()
        match = _NAME.match(self._text, self._at)
        if match is None:
            return "$"
        self._at = match.end()
        return self._variables.get(match.group()) or ""

    def _braces(self) -> str:
        start = self._at + 1
        end = self._matching_brace(start)
        inner = self._text[start:end]
        self._at = end + 1
        match = _NAME.match(inner)
        if match is None:
            raise InvalidArgument(f"bad substitution: ${{{inner}}}")
        name, rest = match.group(), inner[match.end() :]
        return self._substitute(name, rest, f"${{{inner}}}")

    def _matching_brace(self, start: int) -> int:
        depth, position = 1, start
        while position < len(self._text):
            char = self._text[position]
            if char == self._escape:
                position += 1
            elif char == "{" and self._text[position - 1] == "$":
                depth += 1
            elif char == "}":
                depth -= 1
                if depth == 0:
                    return position
            position += 1
        raise InvalidArgument("syntax error: missing '}' in a substitution")

    def _substitute(self, name: str, rest: str, whole: str) -> str:
        value = self._variables.get(name)
        if not rest:
            return value or ""
        for operator in (":-", ":+", ":?", "##", "%%", "//", "-", "+", "?", "#", "%", "/"):
            if rest.startswith(operator):
                return self._apply(operator, name, value, rest[len(operator) :])
        raise InvalidArgument(f"unsupported modifier ({rest[:2] if rest[0] == ':' else rest[0]}) in substitution")

    def _apply(self, operator: str, name: str, value: str | None, word: str) -> str:
        given = value if operator.startswith(":") else (None if value is None else value or " ")
        match operator.removeprefix(":"):
            case "-":
                return (value or "") if given else self._inner(word)
            case "+":
                return self._inner(word) if given else ""
            case "?":
                if not given:
                    raise InvalidArgument(f"{name}: {self._inner(word) or 'is not allowed to be unset'}")
                return value or ""
            case "/" | "//":
                return self._replace(value or "", word, everywhere=operator == "//")
        return _trim(value or "", self._inner(word), operator)

    def _replace(self, value: str, word: str, everywhere: bool) -> str:
        pattern, _, replacement = word.partition("/")
        found = _glob(self._inner(pattern), longest=True)
        plain = self._inner(replacement)
        return re.sub(found, lambda _: plain, value, count=0 if everywhere else 1)

    def _inner(self, word: str) -> str:
        pieces = _Scanner(word, self._variables, self._escape, self._depth + 1).run()
        return "".join(text for text, _ in pieces)


def _trim(value: str, pattern: str, operator: str) -> str:
    longest = len(operator) == 2
    body = _glob(pattern, longest)
    if operator[0] == "#":
        match = re.match(body, value, re.DOTALL)
        return value[match.end() :] if match else value
    starts = range(len(value) + 1) if longest else range(len(value), -1, -1)
    for start in starts:
        if re.fullmatch(body, value[start:], re.DOTALL):
            return value[:start]
    return value


def _glob(pattern: str, longest: bool) -> str:
    out, position = "", 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            out += ".*" if longest else ".*?"
        elif char == "?":
            out += "."
        elif char == "\\" and position < len(pattern):
            out += re.escape(pattern[position])
            position += 1
        else:
            out += re.escape(char)
    return out
