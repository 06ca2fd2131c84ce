"""`config.json` in Docker's place and format, so that logins and formats are shared with `docker`."""

from __future__ import annotations

import os

from sampan.rpc import documents

from .command import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "config.json"


def default_directory() -> str:
    """DOCKER_CONFIG, or `~/.docker`."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


class ConfigFile:
    """Loaded on first use; unknown keys survive a save."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, FILE)
        self._values: dict[str, Any] | None = None

    @property
    def values(self) -> dict[str, Any]:
        if self._values is None:
            self._values = self._load()
        return self._values

    def _load(self) -> dict[str, Any]:
        try:
            loaded = documents.read(self.path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise CommandFailed(f"sampan: loading config file: {self.path}: {error}") from error
        return loaded if isinstance(loaded, dict) else {}

    def text(self, key: str) -> str:
        value = self.values.get(key)
        return value if isinstance(value, str) else ""

    def save(self) -> None:
        """Replaces the file; readable by its owner only, as it holds credentials."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        temporary = f"{self.path}.{os.getpid()}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(documents.indented(self.values, "\t"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, os.path.realpath(self.path))
