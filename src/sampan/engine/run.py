"""A container run to its end in one call: for programs that embed the engine."""

from __future__ import annotations

import asyncio
import socket

from msgspec import Struct

from ..errors import SampanError
from ..model.container import CreateRequest, HostConfig
from ..rpc.frames import Demultiplexer
from .attach import Attachment, AttachRequest, attach
from .create import create
from .engine import Engine
from .remove import remove
from .start import start
from .tasks import cancel_all
from .wait import wait

OUTPUT_LIMIT = 64 << 20


class Finished(Struct, frozen=True):
    """How it ended. With a TTY everything is in `out`."""

    status: int
    out: bytes
    err: bytes


async def run(
    engine: Engine, image: str, *command: str, stdin: bytes = b"", host: HostConfig | None = None,
    timeout: float | None = None, limit: int = OUTPUT_LIMIT, **config: object,
) -> Finished:  # fmt: skip
    """Run `command` in a new container of `image`, feed it `stdin`, and remove it whatever happens.

    `config` are further fields of `ContainerConfig` (env, user, working_dir, …). Raises TimeoutError after `timeout`
    seconds, SampanError when more than `limit` bytes come out, and what create and start raise.
    """
    request = CreateRequest(
        image=image, cmd=list(command) or None, host_config=host, open_stdin=True, stdin_once=True, **config  # type: ignore[arg-type] # ContainerConfig's own fields
    )  # fmt: skip
    created = await create(engine, None, request)
    try:
        async with asyncio.timeout(timeout):
            attachment = await attach(engine, created.id, AttachRequest(stdin=True, stdout=True, stderr=True))
            ticket = wait(engine, created.id, "next-exit")
            try:
                await start(engine, created.id)
                out, err = await _converse(attachment, stdin, limit)
                return Finished((await ticket.result()).status, out, err)
            finally:
                attachment.close()
                ticket.close()
    finally:
        if created.id in engine.containers:
            await remove(engine, created.id, force=True, volumes=True)


async def _converse(attachment: Attachment, stdin: bytes, limit: int) -> tuple[bytes, bytes]:
    sock, loop = attachment.socket, asyncio.get_running_loop()
    assert sock is not None
    sending = loop.create_task(_send(sock, stdin))
    raw = bytearray()
    try:
        while data := await loop.sock_recv(sock, 1 << 16):
            raw += data
            if len(raw) > limit:
                raise SampanError(f"the container wrote more than {limit} bytes")
    finally:
        await cancel_all([sending])
    return (bytes(raw), b"") if attachment.tty else _split(raw)


async def _send(sock: socket.socket, stdin: bytes) -> None:
    try:
        await asyncio.get_running_loop().sock_sendall(sock, stdin)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return  # it ended without reading everything


def _split(raw: bytearray) -> tuple[bytes, bytes]:
    """Docker's frames apart: (stdout, stderr)."""
    found = Demultiplexer().feed(bytes(raw))
    out, err = (b"".join(data for stream, data in found if stream == wanted) for wanted in (1, 2))
    return out, err
