"""What is wrong with a Dockerfile, and where."""

from __future__ import annotations

from ..errors import InvalidArgument


class DockerfileError(InvalidArgument):
    """A mistake at `line` (from 1, 0 where no line is to blame); `hint` says what was probably meant."""

    def __init__(self, message: str, line: int = 0, hint: str = "") -> None:
        place = f"dockerfile parse error on line {line}: " if line else ""
        super().__init__(f"{place}{message}" + (f" ({hint})" if hint else ""))
        self.message = message
        self.line = line
        self.hint = hint

    def pointed(self, source: str, name: str = "Dockerfile") -> str:
        """The message with the lines around the mistake, `>>>` at the line and a caret under its first word."""
        lines = source.splitlines()
        if not 0 < self.line <= len(lines):
            return str(self)
        shown = [f"{name}:{self.line}", "-" * 20]
        for number in range(max(1, self.line - 2), min(len(lines), self.line + 2) + 1):
            mark = ">>>" if number == self.line else "   "
            text = lines[number - 1]
            shown.append(f"{number:4} | {mark} {text}")
            if number == self.line:
                shown.append(" " * (11 + len(text) - len(text.lstrip())) + "^")
        return "\n".join([*shown, "-" * 20, str(self)])
