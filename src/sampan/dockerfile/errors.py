"""What is wrong with a Dockerfile, and where."""

from __future__ import annotations

from ..errors import InvalidArgument


class DockerfileError(InvalidArgument):
    """A mistake at `line` (from 1, 0 where no line is to blame); `hint` says what was probably meant.

    `plain`: the text does not name the line, as BuildKit's does not where the mistake is not one of grammar. `word` is
    what is wrong in the line; empty for all of it.
    """

    def __init__(self, message: str, line: int = 0, hint: str = "", *, plain: bool = False, word: str = "") -> None:
        place = f"dockerfile parse error on line {line}: " if line and not plain else ""
        super().__init__(f"{place}{message}" + (f" ({hint})" if hint else ""))
        self.message = message
        self.line = line
        self.hint = hint
        self.word = word


def excerpt(source: str, name: str, line: int, word: str | None = None) -> str:
    """The lines around one, `>>>` at it, a caret under the wrong word or the first; no caret for None."""
    lines = source.splitlines()
    shown = [f"{name}:{line}", "-" * 20]
    for number in range(max(1, line - 2), min(len(lines), line + 2) + 1):
        mark = ">>>" if number == line else "   "
        text = lines[number - 1]
        shown.append(f"{number:4} | {mark} {text}".rstrip())
        if number == line and word is not None:
            first = len(text) - len(text.lstrip())
            shown.append(" " * (11 + max(first, text.find(word))) + "^")
    return "\n".join([*shown, "-" * 20])
