"""What a volume is, and what a volume driver does."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that was made without a name; `prune` without `all` removes only these."""


class Volume(Struct, frozen=True):
    """A volume as `inspect` shows it. `mountpoint` is the directory on the host, `created` RFC 3339."""

    name: str
    driver: str = "local"
    mountpoint: str = ""
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    created: str = ""
    scope: str = "local"
    status: dict[str, object] = field(default_factory=dict)

    @property
    def anonymous(self) -> bool:
        """Made without a name."""
        return self.labels is not None and ANONYMOUS in self.labels


class Driver(Protocol):
    """A place where volumes live. Errors are sampan.errors; `user` is whoever mounts, a container's id."""

    scope: str

    def create(self, name: str, options: dict[str, str]) -> None:
        """Make a volume that does not exist yet."""

    def remove(self, name: str, options: dict[str, str]) -> None:
        """Remove it with its data."""

    def path(self, name: str) -> str:
        """Where its data is (or will be) mounted."""

    def mount(self, name: str, options: dict[str, str], user: str) -> str:
        """Make the data available; the path. Each user unmounts once."""

    def unmount(self, name: str, user: str) -> None:
        """Undo one mount."""

    def status(self, name: str) -> dict[str, object]:
        """Driver-specific state for `inspect`."""
