"""The container record and its store: every container is in memory, its row in SQLite is the truth."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from ..db import Database
from ..errors import Conflict, InvalidArgument, NotFound
from ..model.container import ContainerConfig, DockerStruct, EndpointSettings, HostConfig, PortMap
from ..model.state import ContainerState


class MountPoint(DockerStruct):
    """One mount as `inspect` shows it; `Source` is the path on the host."""

    type: str
    name: str = ""
    source: str = ""
    destination: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    spec_subpath: str = field(default="", name="-subpath")
    """Ours: `volume-subpath`/`image-subpath`; not shown."""
    copy_up: bool = field(default=False, name="-copy-up")
    """Ours: fill the volume from the image at first use."""
    options: list[str] = field(default_factory=list, name="-options")
    """Ours: options for the mount itself (`rbind`, `size=…`)."""
    anonymous: bool = field(default=False, name="-anonymous")
    """Ours: removed with the container by `rm -v` and `--rm`."""
    id_map: str = field(default="", name="-idmap")
    """Ours: the map of an id-mapped bind, as it was asked for."""


class Replaced(Struct, frozen=True, kw_only=True):
    """The container that a replacement stands in for until its change is complete (engine/recreate.py)."""

    id: str
    name: str
    running: bool


class Container(Struct, kw_only=True):
    """The stored record. `name` is without Docker's leading slash; `created` is RFC 3339 with nanoseconds."""

    id: str
    name: str
    created: str
    image_id: str
    """`sha256:…` of the image's config; the reference that was asked for is `config.image`."""
    config: ContainerConfig
    host_config: HostConfig
    networks: dict[str, EndpointSettings] = field(default_factory=dict)
    """By network name; first what was asked for, while running also what was given."""
    mounts: list[MountPoint] = field(default_factory=list)
    state: ContainerState = field(default_factory=ContainerState)
    path: str = ""
    args: list[str] = field(default_factory=list)
    platform: str = "linux"
    driver: str = "overlay2"
    layer_parent: str = ""
    """Chain id of the image's top layer; empty for an image without layers."""
    ports: PortMap = field(default_factory=dict)
    """Published ports with the host ports that were given; empty when not running."""
    cgroup: str = ""
    """The name of the container's cgroup (`cgroup.named`), while running."""
    has_been_started: bool = False
    former_ids: list[str] = field(default_factory=list)
    """Ids that it had before it was re-created; it still answers to them."""
    replaces: Replaced | None = None
    superseded: bool = False
    """Its replacement is complete: what is left to do is to remove it."""

    @property
    def running(self) -> bool:
        """A process of the container's exists (Docker counts paused as running)."""
        return self.state.status in ("running", "paused")

    @property
    def paused(self) -> bool:
        return self.state.status == "paused"

    @property
    def restarting(self) -> bool:
        """It ended and its restart policy will start it again."""
        return self.state.status == "restarting"


_decoder = msgspec.json.Decoder(Container)
_encoder = msgspec.json.Encoder()


class Containers:
    """All containers of one engine: looked up in memory, written through to the database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, str] = {}
        self.unreadable: list[str] = []
        """Ids of rows that could not be decoded; start-up reports them and goes on."""
        for row in db.query("SELECT id, record FROM container"):
            try:
                self._index(_decoder.decode(row["record"]))
            except msgspec.DecodeError:
                self.unreadable.append(row["id"])

    def _index(self, container: Container) -> None:
        self._by_id[container.id] = container
        self._by_name[container.name] = container.id

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._by_id

    def get(self, ref: str) -> Container:
        """By full id, name (with or without the leading slash), or unique id prefix; NotFound, InvalidArgument."""
        found = self._by_id.get(ref) or self._by_id.get(self._by_name.get(ref.removeprefix("/"), ""))
        if found is not None:
            return found
        matches = [key for key in self._by_id if key.startswith(ref)] if ref else []
        if not matches and len(ref) >= 12:
            matches = [one.id for one in self._by_id.values() if any(old.startswith(ref) for old in one.former_ids)]
        if len(matches) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {ref}")
        if not matches:
            raise NotFound(f"No such container: {ref}")
        return self._by_id[matches[0]]

    def named(self, name: str) -> Container | None:
        """The container of exactly that name."""
        return self._by_id.get(self._by_name.get(name, ""))

    def add(self, container: Container) -> None:
        """Store a new container; Conflict (Docker's text) when its name is in use."""
        self.refuse_taken(container.name)
        self._db.execute(
            "INSERT INTO container (id, name, record) VALUES (?, ?, ?)",
            (container.id, container.name, _encoder.encode(container)),
        )
        self._index(container)

    def refuse_taken(self, name: str) -> None:
        """Conflict with Docker's text when the name is in use."""
        holder = self._by_name.get(name)
        if holder is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )

    def save(self, container: Container) -> None:
        """Write a changed record; a container that was removed meanwhile stays removed."""
        self._db.execute(
            "UPDATE container SET name = ?, record = ? WHERE id = ?",
            (container.name, _encoder.encode(container), container.id),
        )

    def rename(self, container: Container, name: str) -> None:
        """Give it a new name, at once; Conflict when that is in use."""
        self.refuse_taken(name)
        old, container.name = container.name, name
        self.save(container)
        del self._by_name[old]
        self._by_name[name] = container.id

    def forget(self, container: Container) -> None:
        """Delete the row."""
        self._db.execute("DELETE FROM container WHERE id = ?", (container.id,))
        self._by_id.pop(container.id, None)
        if self._by_name.get(container.name) == container.id:
            del self._by_name[container.name]
