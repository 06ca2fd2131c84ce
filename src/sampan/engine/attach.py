"""`docker attach`: one end of a socket pair whose other end the shim writes to (docs/attach.md)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from ..errors import Conflict
from . import detach, logs
from .container import Container
from .detach import DetachKeys
from .engine import Engine
from .live import PendingAttachment


class AttachRequest(Struct, frozen=True):
    """`logs` sends what was written so far first; `stream` follows what comes."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    stream: bool = True
    detach_keys: str = ""


class Attachment:
    """A client's side of a process's streams; `close` it in any case.

    `socket` is non-blocking: raw bytes with a TTY, else Docker's frames; None when only `history` was asked for.
    `detach` filters what the user types where detach keys count.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        tty: bool,
        keys: DetachKeys | None,
        closed: Callable[[bool], None],
        history: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.socket = sock
        self.tty = tty
        self.detach = keys
        self.history = history
        self._closed: Callable[[bool], None] | None = closed

    def close(self, detached: bool = False) -> None:
        """Let go; `detached` says that the user pressed the detach keys. Idempotent."""
        closed, self._closed = self._closed, None
        if closed is not None:
            closed(detached)
        if self.socket is not None:
            self.socket.close()


async def attach(engine: Engine, ref: str, request: AttachRequest) -> Attachment:
    """Join a container's streams, before its start too; Conflict while it is paused or restarting."""
    container = engine.containers.get(ref)
    live = engine.live(container)
    keys = DetachKeys(detach.parse(request.detach_keys))
    history = logs.history(engine, container, request) if request.logs else None
    if not request.stream:
        return Attachment(None, container.config.tty, None, lambda detached: None, history)
    async with live.lock:
        _refuse(container)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        stdin = request.stdin and container.config.open_stdin
        pending = PendingAttachment(theirs, stdin, request.stdout, request.stderr)
        if container.running:
            await _hand_over(engine, container, pending)
        else:
            live.pending.append(pending)
    engine.container_event(container, "attach")

    def closed(detached: bool) -> None:
        live.forget_pending(pending)
        if detached:
            engine.container_event(container, "detach")

    typed = keys if request.stdin and container.config.tty else None
    return Attachment(ours, container.config.tty, typed, closed, history)


def _refuse(container: Container) -> None:
    if container.paused:
        raise Conflict(f"container {container.id} is paused, unpause the container before attach")
    if container.restarting:
        raise Conflict(f"container {container.id} is restarting, wait until the container is running")


async def _hand_over(engine: Engine, container: Container, pending: PendingAttachment) -> None:
    try:
        shim = engine.live(container).the_shim(container.id)
        await shim.attach(pending.socket, stdin=pending.stdin, stdout=pending.stdout, stderr=pending.stderr)
    finally:
        pending.socket.close()
