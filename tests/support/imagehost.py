"""An engine's image parts without containers: layers are kept as plain directories of tar members."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import cast

from sampan.cas import Store
from sampan.cas.compression import Readable
from sampan.db import Database
from sampan.engine.registries import Registries
from sampan.image.images import Images
from sampan.image.record import ImageUser
from sampan.paths import Paths
from sampan.registry.config import RegistryConfig

FAST = RegistryConfig(retry_delay=0.01, stall_timeout=20, connect_timeout=20)


class ListedUnpacking:
    def __init__(self, snapshots: ListedSnapshots, parent: str | None) -> None:
        self._snapshots, self._parent = snapshots, parent
        self._members: dict[str, int] = {}

    def apply(self, stream: Readable) -> int:
        with tarfile.open(fileobj=cast(io.BytesIO, stream), mode="r|") as tar:
            self._members = {member.name: member.size for member in tar}
        return sum(self._members.values())

    def commit(self, chain_id: str) -> None:
        self._snapshots.layers[chain_id] = self._members
        self._snapshots.parents[chain_id] = self._parent

    def abort(self) -> None:
        self._members = {}


class ListedSnapshots:
    """Snapshots that only remember the names and sizes of the members of each layer."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, int]] = {}
        self.parents: dict[str, str | None] = {}
        self.in_use: set[str] = set()

    def size(self, chain_id: str) -> int | None:
        return sum(self.layers[chain_id].values()) if chain_id in self.layers else None

    def begin(self, parent: str | None) -> ListedUnpacking:
        assert parent is None or parent in self.layers
        return ListedUnpacking(self, parent)

    def walk(self) -> list[tuple[str, float, int]]:
        return [(chain_id, 0.0, sum(members.values())) for chain_id, members in reversed(self.layers.items())]

    def remove(self, chain_id: str) -> bool:
        if chain_id in self.in_use or chain_id in self.parents.values():
            return False
        self.parents.pop(chain_id, None)
        return self.layers.pop(chain_id, None) is not None


class Host:
    """What `engine.imagehost.ImageHost` asks for."""

    def __init__(self, root: Path, registry: RegistryConfig = FAST) -> None:
        self.paths = Paths(str(root), str(root / "run"))
        os.makedirs(self.paths.tmp, exist_ok=True)
        self.db = Database(self.paths.database)
        self.store = Store(self.paths.content, self.paths.tmp)
        self.snapshots = ListedSnapshots()
        self.images = Images(self.db, self.store, self.snapshots)
        self.registries = Registries(registry)
        self.users: list[ImageUser] = []
        self.events: list[tuple[str, str, Mapping[str, str]]] = []

    def image_users(self) -> Iterable[ImageUser]:
        return self.users

    def publish_image(self, action: str, actor: str, attributes: dict[str, str]) -> None:
        self.events.append((action, actor, attributes))


def layer_tar(files: Mapping[str, bytes]) -> bytes:
    """A plain tar of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


async def body(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """A request's body in chunks."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
