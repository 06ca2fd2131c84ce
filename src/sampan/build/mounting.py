"""The mounts of a RUN step: sources found by fd inside their own tree (S20), cache directories, secrets, agents."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from ..cas.threads import run_in_thread
from ..errors import InvalidArgument, NotFound
from ..linux.mount import MNT_DETACH, mount, umount2
from ..linux.openat2 import make_directories, open_in_root
from ..model.idmap import IdMap
from ..runtime.bundle import BundleMount
from ..tree.copy import copy_tree
from .graph import Exec, Mount
from .layering import growing, shown
from .removing import remove_tree
from .result import Result
from .session import Locks, Session

CACHE_LOCKS = Locks()
_IN_USE: set[str] = set()


class StepMounts:
    """Collects what a step's mounts become; everything is undone when `stack` closes.

    `scratch` is a directory of the step's own on a tmpfs (the exec root), for secrets.
    """

    def __init__(
        self, session: Session, inputs: Sequence[Result], stack: AsyncExitStack, scratch: str, ids: IdMap | None = None
    ) -> None:
        self._session = session
        self._inputs = inputs
        self._stack = stack
        self._scratch = scratch
        self._ids = ids
        self.mounts: list[BundleMount] = []
        self.env: list[str] = []

    async def add_all(self, operation: Exec) -> None:
        """All mounts of the step, in order."""
        await self._lock([one for one in operation.mounts if one.kind == "cache" and one.sharing == "locked"])
        for one in operation.mounts:
            match one.kind:
                case "bind":
                    await self._bind(one)
                case "cache":
                    await self._cache(one)
                case "tmpfs":
                    size = [f"size={one.size}"] if one.size else []
                    self.mounts.append(BundleMount(one.target, "tmpfs", "tmpfs", ["nosuid", "noexec", "nodev", *size]))
                case "secret":
                    self._secret(one)
                case "ssh":
                    self._ssh(one)

    async def _lock(self, caches: Sequence[Mount]) -> None:
        """All locks of a step in one order, whatever order it names them in: two steps cannot wait for each other."""
        for name in sorted({_directory_name(one) for one in caches}):
            lock = CACHE_LOCKS.get(name)
            await lock.acquire()
            self._stack.callback(lock.release)

    async def _bind(self, one: Mount) -> None:
        result = self._inputs[one.input]
        ids = self._ids
        if directory := await self._directory(result):
            path = directory if one.read_only else self._overlaid(directory)
            ids = ids if one.read_only else None  # the kernel maps no overlay
        elif one.read_only and ids is None:
            path = await self._stack.enter_async_context(shown(self._session.engine, result))
        else:
            tree = await self._stack.enter_async_context(growing(self._session.engine, result, mapped=ids is not None))
            path, ids = tree.path, None  # its owners are mapped already
        source = inside(path, one.source)
        self.mounts.append(BundleMount(one.target, "bind", source, ["rbind", "ro" if one.read_only else "rw"], ids))

    async def _directory(self, result: Result) -> str:
        """The path of a tree that lies outside the snapshots; empty for one that lies there."""
        return result.directory if result.files is None else await self._session.spread(result.files)

    def _overlaid(self, directory: str) -> str:
        """A writable view of a build context; what is written is dropped."""
        paths = {name: f"{self._scratch}/{name}-{len(self.mounts)}" for name in ("upper", "work", "merged")}
        for path in paths.values():
            os.mkdir(path, 0o755)
        options = f"lowerdir={directory},upperdir={paths['upper']},workdir={paths['work']}"
        mount("overlay", paths["merged"], "overlay", 0, options)
        self._stack.callback(umount2, paths["merged"], MNT_DETACH)
        return paths["merged"]

    async def _cache(self, one: Mount) -> None:
        root = f"{self._session.engine.paths.build}/cache"
        os.makedirs(root, mode=0o700, exist_ok=True)
        name = _directory_name(one)
        if one.sharing == "private":
            name = self._private(name)
        path = f"{root}/{name}"
        async with CACHE_LOCKS.get(f"fill {name}"):
            if not os.path.isdir(path):
                await self._fill(one, path)
        self.mounts.append(BundleMount(one.target, "bind", inside(path, one.source if one.input < 0 else ""),
                                       ["rbind", "ro" if one.read_only else "rw"], self._ids))  # fmt: skip

    def _private(self, name: str) -> str:
        number = 0
        while f"{name}-{number}" in _IN_USE:
            number += 1
        private = f"{name}-{number}"
        _IN_USE.add(private)
        self._stack.callback(_IN_USE.discard, private)
        return private

    async def _fill(self, one: Mount, path: str) -> None:
        new = f"{self._session.engine.paths.tmp}/build-{os.path.basename(path)}"
        os.mkdir(new)
        try:
            if one.input >= 0:
                result = self._inputs[one.input]
                result = replace(result, directory=await self._directory(result), files=None)
                async with shown(self._session.engine, result) as origin:
                    await run_in_thread(lambda: _copy(inside(origin, one.source), new))
            os.chmod(new, one.mode)
            os.chown(new, one.uid, one.gid)
            os.rename(new, path)
        except BaseException:
            remove_tree(new)
            raise

    def _secret(self, one: Mount) -> None:
        value = self._session.secrets.get(one.id)
        if value is None:
            if one.required:
                raise NotFound(f"secret {one.id}: not found")
            return
        if one.env:
            self.env.append(f"{one.env}={value.decode('utf-8', 'surrogateescape')}")
        if one.target:
            path = f"{self._scratch}/secret-{len(self.mounts)}"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(value)
                os.fchown(fd, one.uid, one.gid)
                os.fchmod(fd, one.mode)
            options = ["rbind", "ro", "nosuid", "noexec", "nodev"]
            self.mounts.append(BundleMount(one.target, "bind", path, options, self._ids))

    def _ssh(self, one: Mount) -> None:
        agent = self._session.ssh.get(one.id)
        if agent is None:
            if one.required:
                raise NotFound(f"unset ssh forward key {one.id}")
            return
        target = one.target or f"/run/buildkit/ssh_agent.{len(self.mounts)}"
        os.chown(agent, one.uid, one.gid)
        os.chmod(agent, one.mode)
        self.mounts.append(BundleMount(target, "bind", agent, ["rbind", "rw"], self._ids))
        self.env.append(f"SSH_AUTH_SOCK={target}")


def _directory_name(cache: Mount) -> str:
    return hashlib.sha256(cache.id.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def inside(root: str, path: str) -> str:
    """The real path of something inside a tree, links followed within it; NotFound where it is not there."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = open_in_root(fd, path or ".", os.O_PATH)
    except FileNotFoundError:
        raise NotFound(f"failed to mount {path}: no such file or directory") from None
    finally:
        os.close(fd)
    try:
        if stat.S_ISLNK(os.fstat(found).st_mode):
            raise InvalidArgument(f"{path} is a link")
        return os.readlink(f"/proc/self/fd/{found}")
    finally:
        os.close(found)


def _copy(source: str, target: str) -> None:
    origin = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    goal = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy_tree(origin, goal)
    finally:
        os.close(origin)
        os.close(goal)


def ensure_directory(rootfs: str, path: str) -> None:
    """The working directory of a step."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(make_directories(root, path))
    finally:
        os.close(root)
