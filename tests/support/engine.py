"""An engine in the test's own process, in a network namespace of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from sampan.engine import attach, create, images, remove, start, wait
from sampan.engine.clock import Clock
from sampan.engine.config import ContainerDefaults, EngineConfig
from sampan.engine.container import Container
from sampan.engine.engine import Engine
from sampan.image.importing import ImportOptions
from sampan.linux.namespaces import CLONE_NEWNET, setns, unshare
from sampan.model.container import CreateRequest, HostConfig
from sampan.oci import platform, reference

from .images import busybox_rootfs
from .leaks import CGROUP_PARENT, session_dir

_NUMBERS = itertools.count()


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts, in a fresh network namespace with its loopback up."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWNET)
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        setns(before, CLONE_NEWNET)
        os.close(before)


def new_directory() -> Path:
    """An empty directory on the disk for one engine."""
    directory = session_dir() / f"e{os.getpid()}-{next(_NUMBERS)}"
    directory.mkdir(parents=True)
    return directory


def configuration(directory: Path) -> EngineConfig:
    return EngineConfig(
        data_root=str(directory / "data"),
        exec_root=str(directory / "run"),
        container=ContainerDefaults(cgroup_parent=CGROUP_PARENT),
        parked_sandboxes=1,
    )


@asynccontextmanager
async def opened(directory: Path, clock: Clock | None = None, **changes: object) -> AsyncIterator[Engine]:
    """The engine of a directory, with busybox:latest; call it inside `own_network`."""
    config = replace(configuration(directory), **changes)  # type: ignore[arg-type] # passed on
    async with Engine.open(config, clock=clock) as engine:
        if not engine.images.all():
            await _import_busybox(engine)
        yield engine


async def _import_busybox(engine: Engine) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield busybox_rootfs()

    options = ImportOptions(platform=platform.host(), changes=['CMD ["sh"]'])
    await images.import_image(engine, body(), options, reference.parse("busybox"))


async def clear(engine: Engine) -> None:
    """Remove every container."""
    for container in engine.containers:
        await remove.remove(engine, container.id, force=True, volumes=True)


def discard(directory: Path) -> None:
    """Remove an engine's directory."""
    shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Ran:
    """How a container ended; `out` and `err` are what it wrote (`out` is everything with a TTY)."""

    status: int
    out: bytes
    err: bytes


async def make(engine: Engine, *cmd: str, name: str | None = None, host: HostConfig | None = None,
               image_name: str = "busybox", **config: object) -> Container:  # fmt: skip
    """Create a container on no network unless `host` says otherwise."""
    host = host or HostConfig(network_mode="none")
    request = CreateRequest(image=image_name, cmd=list(cmd), host_config=host, **config)  # type: ignore[arg-type]
    created = await create.create(engine, name, request)
    return engine.containers.get(created.id)


async def up(engine: Engine, *cmd: str, name: str | None = None, host: HostConfig | None = None,
             **config: object) -> Container:  # fmt: skip
    """Create and start."""
    container = await make(engine, *cmd, name=name, host=host, **config)
    await start.start(engine, container.id)
    return container


async def up_and_ready(engine: Engine, script: str, host: HostConfig | None = None, **config: object) -> Container:
    """Create, start, and wait until the shell script has written something: its traps are set then."""
    container = await make(engine, "sh", "-c", script, host=host, **config)
    attachment = await attach.attach(engine, container.id, attach.AttachRequest(stdout=True))
    assert attachment.socket is not None
    try:
        await start.start(engine, container.id)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(attachment.socket, 4096), 20)
    finally:
        attachment.close()
    return container


async def run(engine: Engine, *cmd: str, stdin: bytes | None = None, host: HostConfig | None = None,
              **config: object) -> Ran:  # fmt: skip
    """`docker run`: attached, waited for, left in place."""
    if stdin is not None:
        config |= {"open_stdin": True, "stdin_once": True}
    container = await make(engine, *cmd, host=host, **config)
    request = attach.AttachRequest(stdin=stdin is not None, stdout=True, stderr=True)
    attachment = await attach.attach(engine, container.id, request)
    ticket = wait.wait(engine, container.id, "next-exit")
    await start.start(engine, container.id)
    out, err = await talk(attachment, stdin)
    result = await ticket.result(20)
    return Ran(result.status, out, err)


async def talk(attachment: attach.Attachment, stdin: bytes | None = None) -> tuple[bytes, bytes]:
    """Send what is to be sent, read to the end, and close → (out, err)."""
    loop, sock = asyncio.get_running_loop(), attachment.socket
    assert sock is not None
    sending = asyncio.ensure_future(_send(attachment, stdin))
    raw = b""
    try:
        async with asyncio.timeout(20):
            while data := await loop.sock_recv(sock, 1 << 16):
                raw += data
            await sending
    finally:
        attachment.close()
    if attachment.tty:
        return raw, b""
    streams = {1: b"", 2: b""}
    while raw:
        size = int.from_bytes(raw[4:8], "big")
        streams[raw[0]] += raw[8 : 8 + size]
        raw = raw[8 + size :]
    return streams[1], streams[2]


async def _send(attachment: attach.Attachment, stdin: bytes | None) -> None:
    if stdin is None:
        return
    assert attachment.socket is not None
    await asyncio.get_running_loop().sock_sendall(attachment.socket, stdin)
    attachment.socket.shutdown(1)
