"""Build contexts for tests."""

from __future__ import annotations

from pathlib import Path


def write_context(directory: Path, dockerfile: str, **files: str) -> str:
    """A directory with a Dockerfile and files of the given names; its path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        (directory / name).write_text(content)
    return str(directory)
