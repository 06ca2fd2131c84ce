"""Attach, exec, logs and stats: what runs over a connection for as long as the container does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from ..engine import attach as attaching
from ..engine import exec as execs
from ..engine import logs as logging
from ..engine.attach import Attachment, AttachRequest
from ..engine.exec import ExecStart
from ..engine.exec_config import ExecConfig
from ..engine.logs import LogsRequest
from ..errors import InvalidArgument, SampanError
from ..model.container import DockerStruct
from ..rpc.frames import STDOUT, Demultiplexer, frame
from ..wire.exec import ExecInspect, ProcessConfig
from . import hijack, websocket
from .call import Call
from .containers import terminal_size
from .hijack import Detach, Takeover, stream_type
from .router import Route

EXIT_SECONDS: Final = 10.0
"""How long after its last output a process may take to end before its client is told that the stream is over."""


def attach_request(call: Call) -> AttachRequest:
    """What the query asks for; standard input is only joined to a stream."""
    query = call.query
    stream = query.flag("stream")
    return AttachRequest(
        stdin=query.flag("stdin") and stream,
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        logs=query.flag("logs"),
        stream=stream,
        detach_keys=query.text("detachKeys"),
    )


async def attach(call: Call) -> None:
    request = attach_request(call)
    if request.stream and not (request.stdin or request.stdout or request.stderr):
        request = replace(request, stream=False)  # nothing to follow: the connection is taken over and ends
    try:
        attachment = await attaching.attach(call.engine, call.path["id"], request)
    except SampanError as error:
        await hijack.refuse(call, error)
        return
    async with _taken(call, hijack.upgrade_head(call, tty=attachment.tty, complete=False), attachment) as taken:
        await _join(taken, attachment, attachment.detach)


@asynccontextmanager
async def _taken(call: Call, head: bytes, attachment: Attachment) -> AsyncIterator[Takeover]:
    """The client's connection; at the end, whatever it is, both sides are closed."""
    try:
        taken = await Takeover.take(call, head)
        try:
            yield taken
        finally:
            taken.close()
    finally:
        attachment.close()


async def _join(
    taken: Takeover, attachment: Attachment, inward: Detach | None, outward: Callable[[bytes], bytes] | None = None
) -> bool:
    """Send what was logged, then join the live streams; whether the client detached with the keys."""
    detached = False
    try:
        if attachment.history is not None:
            async for part in attachment.history:
                await taken.send(outward(part) if outward else part)
        if attachment.socket is not None:
            detached = await taken.pump(attachment.socket, inward, outward)
    finally:
        attachment.close(detached)
    return detached


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for whichever comes first; the others are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=EXIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def attach_websocket(call: Call) -> None:
    """The same over a WebSocket; without a TTY both outputs arrive unmarked, as Docker sends them."""
    key = call.request_headers.get("sec-websocket-key", "")
    if call.exchange.head.upgrade != "websocket" or not key:
        raise InvalidArgument("bad handshake: not a websocket upgrade")
    attachment = await attaching.attach(call.engine, call.path["id"], replace(attach_request(call), stream=True))
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {websocket.accept_key(key)}\r\n\r\n"
    )
    async with _taken(call, head.encode(), attachment) as taken:
        inward = websocket.Inward(taken.write, taken.leave, attachment.detach)
        await _join(taken, attachment, inward, websocket.Outward(framed=not attachment.tty))
        inward.close()


async def create_exec(call: Call) -> None:
    config = await call.body(ExecConfig)
    if call.version < (1, 42):
        config.console_size = None
    exec_id = execs.create(call.engine, call.path["id"], config)
    await call.json({"Id": exec_id}, 201)


class StartBody(DockerStruct):
    """The body of `POST /exec/{id}/start`."""

    detach: bool = False
    tty: bool = False
    console_size: list[int] | None = None


async def start_exec(call: Call) -> None:
    """Detached: 200 when it runs. Else the connection becomes its streams, and failures are told there."""
    body = await call.body(StartBody, optional=True)
    process = execs.get(call.engine, call.path["id"])
    size = body.console_size or [0, 0]
    if len(size) != 2 or min(size) < 0 or max(size) > 65535:
        raise InvalidArgument("invalid console size: must be [height, width]")
    if not body.tty or call.version < (1, 42):
        size = [0, 0]
    request = ExecStart(detach=body.detach, tty=body.tty, console_size=(size[0], size[1]))
    if body.detach:
        await execs.start(call.engine, process.id, request)
        await call.empty(200)
        return
    await _start_attached(call, process.id, request)


async def _start_attached(call: Call, exec_id: str, request: ExecStart) -> None:
    """The head leaves before the process begins: docker-py drops output that arrives together with it.

    Clients ask for the exit status as soon as the stream ends: it ends when that is known. Whether it has frames is
    said by who starts the exec: docker-py's `exec_start` reads frames though the exec has a TTY.
    """
    taken = await Takeover.take(call, hijack.upgrade_head(call, tty=request.tty, complete=True))
    try:
        attachment = await execs.start(call.engine, exec_id, request)
        detached = False
        if attachment is not None:
            outward = _as_asked(has_tty=attachment.tty, raw=request.tty)
            detached = await _join(taken, attachment, attachment.detach, outward)
        if not detached:
            await _first(execs.result(call.engine, exec_id), taken.gone())
    except SampanError as error:
        text = f"{error}\r\n".encode()
        await taken.send(text if request.tty else frame(STDOUT, text))
    finally:
        taken.close()


def _as_asked(*, has_tty: bool, raw: bool) -> Callable[[bytes], bytes] | None:
    if has_tty == raw:
        return None
    return Demultiplexer().payload if raw else partial(frame, STDOUT)


async def inspect_exec(call: Call) -> None:
    process = execs.get(call.engine, call.path["id"])
    config = process.config
    words = config.cmd or [""]
    await call.json(
        ExecInspect(
            id=process.id,
            running=process.running,
            exit_code=process.exit_code,
            process_config=ProcessConfig(
                tty=config.tty,
                entrypoint=words[0],
                arguments=words[1:],
                privileged=config.privileged,
                user=config.user or UNSET,
            ),
            open_stdin=config.attach_stdin,
            open_stderr=config.attach_stderr,
            open_stdout=config.attach_stdout,
            can_remove=False,
            container_id=process.container_id,
            detach_keys=config.detach_keys,
            pid=process.pid,
        )
    )


async def resize_exec(call: Call) -> None:
    await execs.resize(call.engine, call.path["id"], *terminal_size(call))
    await call.empty(200)


async def show_logs(call: Call) -> None:
    query = call.query
    if not (query.flag("stdout") or query.flag("stderr")):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    container = call.engine.containers.get(call.path["id"])
    request = LogsRequest(
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        since_ns=query.time_ns("since") or 0,
        until_ns=query.time_ns("until") or 0,
        tail=_tail(query.text("tail")),
        timestamps=query.flag("timestamps"),
        details=query.flag("details"),
        follow=query.flag("follow"),
    )
    parts = logging.logs(call.engine, container.id, request)
    kind = stream_type(call, tty=container.config.tty)
    exchange = await call.stream(kind)
    async for part in parts:
        await exchange.write(part)


def _tail(text: str) -> int:
    """How many lines from the end; -1 (all) for `all` and whatever is no number, as Docker does."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


ROUTES: list[Route] = [
    ("POST", "/containers/{id}/attach", attach),
    ("GET", "/containers/{id}/attach/ws", attach_websocket),
    ("GET", "/containers/{id}/logs", show_logs),
    ("POST", "/containers/{id}/exec", create_exec),
    ("POST", "/exec/{id}/start", start_exec),
    ("POST", "/exec/{id}/resize", resize_exec),
    ("GET", "/exec/{id}/json", inspect_exec),
]
