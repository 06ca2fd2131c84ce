"""A zygote, shims and busybox containers without an engine."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from sampan.linux.cgroup import Cgroup, Hierarchy
from sampan.rpc.frames import Demultiplexer
from sampan.runtime import CreateContainer, ExecProcess, LogSetup, Shim, Zygote

from .leaks import CGROUP_PARENT

BUSYBOX = "/bin/busybox"
APPLETS = (
    "sh",
    "cat",
    "sleep",
    "echo",
    "true",
    "false",
    "kill",
    "stty",
    "head",
    "seq",
    "yes",
    "dd",
    "wc",
    "tty",
    "trap",
)
NAMESPACES = ("mount", "pid", "ipc", "uts", "network")
WAIT = 20.0
ALL = {"stdin": True, "stdout": True, "stderr": True}


def make_rootfs(path: Path) -> None:
    """Busybox alone, hard-linked: nothing to unmount."""
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        (path / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(BUSYBOX, path / "bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", path / "bin" / applet)


def spec(
    args: list[str], *, tty: bool = False, namespaces: tuple[str, ...] = NAMESPACES, **linux: Any
) -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": process(args, tty=tty),
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
        ],
        "linux": {"namespaces": [{"type": kind} for kind in namespaces], **linux},
    }


def process(args: list[str], *, tty: bool = False) -> dict[str, Any]:
    return {
        "terminal": tty,
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {kind: ["CAP_KILL", "CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")},
    }


class ShimHost:
    """Everything below `root`; `close` ends all that is left."""

    def __init__(self, root: Path, pool: int = 1) -> None:
        self.root = root
        self.name = f"{CGROUP_PARENT}/shimtest-{secrets.token_hex(4)}"
        self.exec_root = root / "run"
        self.exec_root.mkdir(mode=0o700)
        self.cgroup_parent = self.name
        self.zygote = Zygote(str(self.exec_root), self.cgroup_parent, pool)
        self.shims: list[Shim] = []
        self.streams: list[Stream] = []
        make_rootfs(root / "rootfs")

    def bundle(self, container_id: str) -> Path:
        path = self.root / "containers" / container_id
        path.mkdir(parents=True, exist_ok=True)
        if not (path / "rootfs").exists():
            os.symlink(self.root / "rootfs", path / "rootfs")
        return path

    def socket_path(self, shim: Shim) -> str:
        return f"{self.exec_root}/shims/{shim.container_id}/shim.sock"

    async def spawn(self, *, parked: bool = True) -> Shim:
        shim = await asyncio.wait_for(self.zygote.spawn(secrets.token_hex(32), parked=parked), WAIT)
        self.shims.append(shim)
        return shim

    async def create(self, args: list[str], *, parked: bool = True, log: str | None = None, **options: Any) -> Shim:
        shim = await self.spawn(parked=parked)
        await self.create_in(shim, args, log=log, **options)
        return shim

    async def create_in(
        self,
        shim: Shim,
        args: list[str],
        *,
        log: str | None = None,
        log_config: dict[str, str] | None = None,
        document: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        bundle = self.bundle(shim.container_id)
        setup = None
        if log is not None:
            setup = LogSetup(
                driver=log, config=log_config or {}, path=str(bundle), info={"container_id": shim.container_id}
            )
        await shim.create(
            CreateContainer(
                bundle=str(bundle),
                state_dir=str(bundle),
                cgroup=f"{self.cgroup_parent}/{shim.container_id}",
                spec=document or spec(args, tty=options.get("tty", False)),
                log=setup,
                **options,
            )
        )

    async def run(self, args: list[str], **options: Any) -> Shim:
        shim = await self.create(args, **options)
        await asyncio.wait_for(shim.start(), WAIT)
        return shim

    async def exit(self, shim: Shim) -> Any:
        """The container's exit."""

        async def wait() -> Any:
            async for exited in shim.exits:
                if exited.exec_id is None:
                    return exited
            return None

        return await asyncio.wait_for(wait(), WAIT)

    async def attach(
        self, shim: Shim, exec_id: str | None = None, *, stdin: bool = True, stdout: bool = True, stderr: bool = True
    ) -> Stream:
        ours, theirs = socket.socketpair()
        with theirs:
            await shim.attach(theirs, exec_id, stdin=stdin, stdout=stdout, stderr=stderr)
        self.streams.append(Stream(ours))
        return self.streams[-1]

    async def exec(
        self, shim: Shim, args: list[str], exec_id: str = "e", *, tty: bool = False, **wants: bool
    ) -> Stream:
        ours, theirs = socket.socketpair()
        request = ExecProcess(exec_id=exec_id, process=process(args, tty=tty), tty=tty, **(wants or ALL))
        with theirs:
            try:
                await asyncio.wait_for(shim.exec(request, theirs), WAIT)
            except BaseException:
                ours.close()
                raise
        self.streams.append(Stream(ours))
        return self.streams[-1]

    async def close(self) -> None:
        for stream in self.streams:
            stream.close()
        for shim in self.shims:
            if not shim.gone:
                await asyncio.wait_for(shim.close(), WAIT)
        await asyncio.wait_for(self.zygote.close(), WAIT)
        for group in (f"{self.cgroup_parent}/shims", self.cgroup_parent):
            if Cgroup(group).exists():
                Cgroup(group).remove()
        unified = Path(f"{Hierarchy.detect().unified}{self.cgroup_parent}")
        if Hierarchy.detect().hybrid and unified.exists():  # runc makes one there too
            unified.rmdir()


class Stream:
    """One end of an attachment."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(self.loop.sock_sendall(self.sock, data), 60)

    def end_input(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    async def recv(self, size: int = 1 << 16) -> bytes:
        return await asyncio.wait_for(self.loop.sock_recv(self.sock, size), WAIT)

    async def until(self, expected: bytes) -> bytes:
        got = b""
        while expected not in got:
            data = await self.recv()
            assert data, f"stream ended after {got!r}"
            got += data
        return got

    async def read(self) -> bytes:
        parts = []
        while data := await self.recv(1 << 20):
            parts.append(data)
        return b"".join(parts)

    async def demux(self) -> dict[int, bytes]:
        return demux(await self.read())

    def close(self) -> None:
        self.sock.close()


async def ended(pid: int) -> None:
    """Until no process has this pid; a zombie counts as ended."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"process {pid} lives on")


def demux(data: bytes) -> dict[int, bytes]:
    """Docker's frames back to streams."""
    streams = {1: b"", 2: b""}
    for stream, part in Demultiplexer().feed(data):
        streams[stream] += part
    return streams


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[ShimHost]:
    """Imported by the conftests that want it."""
    made = ShimHost(tmp_path)
    yield made
    await made.close()
