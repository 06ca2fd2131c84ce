"""`.dockerignore`: which paths of a build context stay at home.

Rules as Docker's: one pattern a line, `#` comments, `!` exceptions, the last match wins, `**` for any number of
directories, a pattern that matches a directory matches all below it.
"""

from __future__ import annotations

import posixpath
import re


def read_patterns(text: str) -> list[str]:
    """The patterns of an ignore file, cleaned; `!` stays in front."""
    found = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#"):
            continue
        pattern = line.strip()
        if not pattern:
            continue
        negated = pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip()
        if pattern:
            cleaned = posixpath.normpath(pattern).lstrip("/")
            found.append(("!" if negated else "") + (cleaned or "."))
    return found


class IgnoreRules:
    """Compiled patterns; `matches(path)` for slash-separated paths relative to the context's root."""

    def __init__(self, patterns: list[str]) -> None:
        self._rules = [(not pattern.startswith("!"), _compile(pattern.removeprefix("!"))) for pattern in patterns]
        self.has_exceptions = any(not ignored for ignored, _ in self._rules)

    def matches(self, path: str) -> bool:
        """Whether the path is left out of the context."""
        parents = path.split("/")
        prefixes = ["/".join(parents[:count]) for count in range(1, len(parents) + 1)]
        ignored = False
        for verdict, rule in self._rules:
            if verdict != ignored and any(rule.fullmatch(prefix) for prefix in prefixes):
                ignored = verdict
        return ignored


def matches_pattern(pattern: str, path: str) -> bool:
    """Whether one pattern (Go's filepath.Match with `**`) matches the whole path."""
    return _compile(pattern).fullmatch(path) is not None


def _compile(pattern: str) -> re.Pattern[str]:
    out, position = "", 0
    while position < len(pattern):
        char = pattern[position]
        if pattern.startswith("**", position):
            position += 2
            if pattern.startswith("/", position):
                position += 1
                out += "(?:.*/)?"
            else:
                out += ".*"
            continue
        position += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "\\" and position < len(pattern):
            out += re.escape(pattern[position])
            position += 1
        elif char == "[" and "]" in pattern[position + 1 :]:
            end = pattern.index("]", position + 1)
            out += _character_class(pattern[position:end])
            position = end + 1
        else:
            out += re.escape(char)
    return re.compile(out, re.DOTALL)


def _character_class(body: str) -> str:
    negated = body.startswith("^")
    # `-` is a range between two characters and itself elsewhere; re's set operators (`--`, `&&`) do not exist here
    inner = "".join("\\" + char if char in "\\[]^&~|" else char for char in body.removeprefix("^"))
    inner = re.sub(r"^-|-(?=-)|-$", r"\\-", inner)
    try:
        re.compile(f"[{inner}]")
    except re.error:
        inner = re.escape(body)
    return f"[{'^' if negated else ''}{inner}]"
