"""All volumes of one engine: names, labels, drivers, who uses what. The row is the truth for names and labels.

Who uses a volume is not stored here: the containers' records say so. The engine passes `users`, so that there is one
truth and nothing to repair after a crash. A copy of each row lies beside its volume (`records`).

What asks a driver is `async` and goes through `Volumes._ask`: a plugin or a file server may not answer for minutes.
Everything else looks only at rows.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sampan import faults
from sampan.cas.threads import run_abandonable, run_in_thread
from sampan.db import Database, Row
from sampan.errors import Conflict, NotFound, SampanError, Unavailable
from sampan.linux.libc import syncfs
from sampan.linux.openat2 import open_in_root
from sampan.model.filters import Filters, check, flag, labelled
from sampan.tree.copy import copy_tree
from sampan.tree.remove import remove
from sampan.tree.walk import usage

from . import records
from .copies import require_local, restore
from .local import REMOVED, Local, check_name
from .plugins import Plugins
from .volume import ANONYMOUS, Driver, Volume

T = TypeVar("T")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Pruned(Struct, frozen=True):
    """What was pruned, and the bytes of it."""

    names: list[str]
    bytes: int


class Volumes:
    """`users(name)` gives the ids of the containers that have a volume; `owner` (uid, gid) gets new ones."""

    def __init__(
        self,
        db: Database,
        root: str,
        users: Callable[[str], list[str]] = lambda name: [],
        owner: tuple[int, int] = (0, 0),
        plugins: Plugins | None = None,
    ) -> None:
        self._db = db
        self.users = users
        self.local = Local(root, owner)
        self._mounts: dict[tuple[str, str], str] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.plugins = plugins or Plugins()
        self._sweep()

    def _sweep(self) -> None:
        """Half-made things of a crash; volume directories without a row get one back: they hold users' data (S31)."""
        for name in os.listdir(self.local.root):
            home = f"{self.local.root}/{name}"
            if name.startswith(REMOVED):
                self.local.discard(name)
            if name.startswith((".", REMOVED)) or not os.path.isdir(f"{home}/_data"):
                continue
            _remove_below(home, "_new")
            if self._row(name) is None:
                self._insert(records.read(home) or Volume(name, options=None, labels=None, created=_now()))

    async def _ask(self, driver: str, options: dict[str, str] | None, work: Callable[[Driver], T]) -> T:
        """Have a driver do something; in a thread of its own unless it is a plain directory of ours."""
        if driver == "local" and not options:
            return work(self.local)
        return await run_abandonable(lambda: work(self.driver(driver)))

    def _lock(self, name: str) -> asyncio.Lock:
        """One at a time for each volume; whoever waits or works holds it alive."""
        return self._locks.setdefault(name, asyncio.Lock())

    def _row(self, name: str) -> Row | None:
        return self._db.one("SELECT * FROM volume WHERE name = ?", (name,))

    def _insert(self, volume: Volume) -> None:
        self._db.execute(
            "INSERT INTO volume (name, driver, options, labels, created, mountpoint, scope)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (volume.name, volume.driver, _json(volume.options), _json(volume.labels), volume.created,
             volume.mountpoint, volume.scope),
        )  # fmt: skip

    def driver(self, name: str) -> Driver:
        """The driver of that name; a plugin is asked who it is. NotFound with Docker's text. May block."""
        return self.local if name in ("", "local") else self.plugins.get(name)

    async def create(
        self,
        name: str = "",
        driver: str = "",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> Volume:
        """Make a volume; an existing one is returned as it is unless another driver is asked for."""
        if not name:
            name = os.urandom(32).hex()
            labels = {**(labels or {}), ANONYMOUS: ""}
        async with self._lock(name):
            row = self._row(name)
            if row is None:
                await self._create(Volume(name, driver or "local", options=options, labels=labels, created=_now()))
            elif driver and row["driver"] != driver:
                raise Conflict(f"create {name}: conflict: volume name must be unique")
            return self.get(name)

    async def _create(self, volume: Volume) -> None:
        def make(driver: Driver) -> Volume:
            driver.create(volume.name, volume.options or {})
            return replace(
                volume, mountpoint="" if driver is self.local else _place(driver, volume), scope=driver.scope
            )

        try:
            made = await self._ask(volume.driver, volume.options, make)
        except SampanError as error:
            raise type(error)(f"create {volume.name}: {error}") from None
        if made.driver == "local":
            records.write(f"{self.local.root}/{made.name}", made)
        self._insert(made)

    def take_in(self, name: str, driver: str, mountpoint: str) -> None:
        """Note a volume of a plugin's that a container has and of which the row was lost."""
        if not self.exists(name):
            self._insert(Volume(name, driver, mountpoint, created=_now()))

    def exists(self, name: str) -> bool:
        """Whether a volume of that name is known."""
        return self._row(name) is not None

    def get(self, name: str) -> Volume:
        """A volume; NotFound `get NAME: no such volume`."""
        row = self._row(name)
        if row is None:
            raise NotFound(f"get {name}: no such volume")
        return self._volume(row)

    async def status(self, volume: Volume) -> Volume:
        """The same with what its driver says about it now; NotFound where it does not know it."""
        try:
            found = await self._ask(volume.driver, volume.options, lambda driver: driver.status(volume.name))
        except Unavailable:
            raise
        except SampanError:
            raise NotFound(f"get {volume.name}: no such volume") from None
        return replace(volume, status=found)

    def _volume(self, row: Row) -> Volume:
        options, labels = (msgspec.json.decode(row[key], type=dict[str, str] | None) for key in ("options", "labels"))
        path = self.local.path(row["name"]) if row["driver"] == "local" else row["mountpoint"]
        return Volume(row["name"], row["driver"], path, options, labels, row["created"], row["scope"])

    def list(self, filters: Filters | None = None) -> list[Volume]:
        """Volumes by name that match all filters: dangling, name (part of it), driver, label."""
        filters = filters or {}
        check(filters, ("dangling", "name", "driver", "label"))
        volumes = [self._volume(row) for row in self._db.query("SELECT * FROM volume ORDER BY name")]
        return [volume for volume in volumes if self._matches(volume, filters)]

    def _matches(self, volume: Volume, filters: Filters) -> bool:
        names, drivers, dangling = filters.get("name"), filters.get("driver"), flag(filters, "dangling")
        if names and not any(name in volume.name for name in names):
            return False
        if drivers and volume.driver not in drivers:
            return False
        if dangling is not None and dangling == bool(self.users(volume.name)):
            return False
        return labelled(volume.labels, filters)

    async def remove(self, name: str, force: bool = False) -> bool:
        """Remove a volume nobody uses, with Docker's errors; whether there was one.

        `force` forgives its absence, and forgets it even where its plugin does not remove it; that error is still told.
        """
        async with self._lock(name):
            row = self._row(name)
            if row is None:
                if force:
                    return False
                raise NotFound(f"get {name}: no such volume")
            self.refuse_used(name, "remove")
            volume = self._volume(row)
            try:
                await self._ask(volume.driver, volume.options, lambda one: one.remove(name, volume.options or {}))
            except SampanError as error:
                if force:
                    self._forget(name)
                raise type(error)(f"remove {name}: {error}") from None
            self._forget(name)
            return True

    def _forget(self, name: str) -> None:
        self._db.execute("DELETE FROM volume WHERE name = ?", (name,))

    def prunable(self, filters: Filters | None = None) -> Sequence[Volume]:
        """Unused local volumes: anonymous ones only, unless the filter `all` says otherwise."""
        filters = filters or {}
        check(filters, ("label", "label!", "all"))
        everything = flag(filters, "all")
        found = []
        for volume in self.list():
            if volume.driver != "local" or self.users(volume.name) or not (everything or volume.anonymous):
                continue
            if labelled(volume.labels, filters):
                found.append(volume)
        return found

    def size(self, volume: Volume) -> int:
        """The bytes in a local volume's files; -1 for others, as the API has it."""
        if volume.driver != "local" or (volume.options and "device" in volume.options):
            return -1 if volume.driver != "local" else 0
        return usage(volume.mountpoint).bytes

    def rename(self, name: str, new: str) -> Volume:
        """Give a local volume that nobody uses another name (beyond Docker)."""
        volume = self.get(name)
        require_local(volume)
        check_name(new)
        self.refuse_used(name, "rename")
        if self.exists(new) or os.path.exists(f"{self.local.root}/{new}"):
            raise Conflict(f"rename {name}: volume {new} exists")
        with self._db.transaction():
            self._db.execute("UPDATE volume SET name = ? WHERE name = ?", (new, name))
            self.local.rename(name, new)
        return self.get(new)

    def refuse_used(self, name: str, what: str) -> None:
        """Conflict with Docker's words when a container has the volume."""
        users = self.users(name)
        if users:
            raise Conflict(f"{what} {name}: volume is in use - [{', '.join(users)}]")

    async def restore(self, name: str, snapshot: str) -> Volume:
        """Back to a snapshot's state (beyond Docker); nobody can mount it meanwhile. Conflict where somebody has."""
        async with self._lock(name):
            volume = self.get(name)
            require_local(volume)
            users = [user for mounted, user in self._mounts if mounted == name]
            if users:
                raise Conflict(f"restore {name}: volume is in use - [{', '.join(users)}]")
            user = f"restore-{os.urandom(8).hex()}"
            await self._mount(volume, user)
            try:
                await run_in_thread(lambda: restore(self.local, volume, snapshot))
            finally:
                await self._ask(volume.driver, volume.options, lambda driver: driver.unmount(name, user))
            return volume

    async def mount(self, name: str, user: str) -> str:
        """Make a volume's data available for a user (a container's id); its path. Again is no other mount."""
        async with self._lock(name):
            if (name, user) not in self._mounts:
                self._mounts[name, user] = await self._mount(self.get(name), user)
            return self._mounts[name, user]

    async def _mount(self, volume: Volume, user: str) -> str:
        name, options = volume.name, volume.options or {}
        try:
            path = await self._ask(volume.driver, options, lambda driver: driver.mount(name, options, user))
        except SampanError as error:
            place = volume.mountpoint if volume.driver == "local" else ""
            raise type(error)(f"error while mounting volume '{place}': {error}") from None
        if volume.driver != "local" and path != volume.mountpoint:
            self._db.execute("UPDATE volume SET mountpoint = ? WHERE name = ?", (path, name))
        return path

    def adopt_mount(self, name: str, user: str) -> None:
        """Note a mount of before a restart: its user still runs, its driver is not asked again."""
        volume = self.get(name)
        self._mounts[name, user] = volume.mountpoint
        if volume.driver == "local":
            self.local.add_user(name, user)

    def mounted(self, name: str, user: str) -> bool:
        """Whether a user has a volume mounted, as far as this process knows or the kernel says."""
        return (name, user) in self._mounts or self.local.is_attached(name)

    async def unmount(self, name: str, user: str) -> None:
        """The user is done; unknown volumes are fine."""
        async with self._lock(name):
            self._mounts.pop((name, user), None)
            row = self._row(name)
            if row is not None:
                volume = self._volume(row)
                await self._ask(volume.driver, volume.options, lambda driver: driver.unmount(name, user))

    def close(self) -> None:
        """Finish removing; mounts of live containers stay."""
        self.local.janitor.close()

    # copy-up

    def wants_copy_up(self, name: str) -> bool:
        """Whether a volume was never filled from an image (S30)."""
        row = self._row(name)
        return row is not None and not row["copied"]

    def fill(self, root: int, path: str, volume: Volume) -> bool:
        """Fill a mounted, empty volume with what the file tree `root` (an fd) has at `path`; whether it did.

        Complete or not at all: the copy is made beside the volume and takes its place by one rename, unless something
        is mounted there or already looks at it. May run in a thread; `mark_copied` is for the loop's.
        """
        if not os.path.isdir(volume.mountpoint) or os.listdir(volume.mountpoint):
            return False
        try:
            source = open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            self._fill(source, volume)
        finally:
            os.close(source)
        return True

    def mark_copied(self, name: str) -> None:
        """Note that a volume was filled: it never is again."""
        self._db.execute("UPDATE volume SET copied = 1 WHERE name = ?", (name,))

    def _fill(self, source: int, volume: Volume) -> None:
        alone = volume.driver == "local" and not volume.options and len(self.local.users(volume.name)) <= 1
        home = f"{self.local.root}/{volume.name}"
        staged = f"{home}/_new" if alone else volume.mountpoint
        if alone:
            _remove_below(home, "_new")
            os.mkdir(staged, 0o700)
        fd = os.open(staged, _DIRECTORY)
        try:
            copy_tree(source, fd)
            faults.point("volume.copy-up.copied")
            if alone:
                syncfs(fd)
        finally:
            os.close(fd)
        if alone:
            os.rename(staged, volume.mountpoint)


def _place(driver: Driver, volume: Volume) -> str:
    """Where a plugin has a volume's data, if it knows before the first mount."""
    try:
        return driver.path(volume.name)
    except SampanError:
        return ""


def _remove_below(directory: str, name: str) -> None:
    fd = os.open(directory, _DIRECTORY)
    try:
        remove(fd, name)
    finally:
        os.close(fd)


def _json(value: dict[str, str] | None) -> str:
    return msgspec.json.encode(value).decode()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
