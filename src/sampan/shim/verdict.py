"""The exit code of a container whose program did not run, as dockerd reads it from what the runtime says."""

from __future__ import annotations

_PHRASES = {
    127: ("executable file not found", "no such file or directory"),
    126: ("permission denied", "is a directory", "exec format error"),
}


def exit_code(text: str) -> int:
    """127 where something was not found, 126 where something may not be run, else 0."""
    text = text.lower()
    return next((code for code, phrases in _PHRASES.items() if any(phrase in text for phrase in phrases)), 0)
