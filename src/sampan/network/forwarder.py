"""Forwarding of DNS questions to the servers of the host, or of `--dns`: each on its own, none waits for another."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from . import dnsmessage
from .dnsmessage import NXDOMAIN, SERVFAIL, Question
from .files import ResolvConf

PORT = 53
SERVER_SECONDS = 4.0
"""How long one server may take before the next is asked (Docker's)."""
MAX_SERVERS = 3
MAX_PENDING = 1024
RECHECK_SECONDS = 1.0

Enter = Callable[[], AbstractContextManager[None]]


class HostServers:
    """The host's resolvers; the file is read again when it changed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._checked = 0.0
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        now = asyncio.get_running_loop().time()
        if now - self._checked >= RECHECK_SECONDS:
            self._checked = now
            self._refresh()
        return self._servers

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)
            if (status.st_mtime_ns, status.st_ino) == self._stamp:
                return
            self._stamp = (status.st_mtime_ns, status.st_ino)
            with open(self._path, errors="replace") as file:
                self._servers = ResolvConf.parse(file.read()).nameservers
        except OSError:
            self._stamp, self._servers = None, ()


class Forwarder:
    """Asks servers in order. `enter` is the namespace that the sockets are opened in."""

    def __init__(self, servers: Callable[[], tuple[str, ...]], enter: Enter = nullcontext) -> None:
        self._servers = servers
        self._enter = enter
        self._pending = 0

    async def ask(self, message: bytes, question: Question, *, stream: bool) -> bytes:
        """The answer of the first server that has one; SERVFAIL where none has."""
        if self._pending >= MAX_PENDING:
            return dnsmessage.reply(question, code=SERVFAIL, stream=stream)
        self._pending += 1
        failure = b""
        try:
            for server in self._servers()[:MAX_SERVERS]:
                answer = await self._ask_server(server, message, question, stream)
                if answer is None:
                    continue
                if dnsmessage.code(answer) in (0, NXDOMAIN):
                    return dnsmessage.with_id(answer, question.id)
                failure = dnsmessage.with_id(answer, question.id)
            return failure or dnsmessage.reply(question, code=SERVFAIL, stream=stream)
        finally:
            self._pending -= 1

    async def _ask_server(self, server: str, message: bytes, question: Question, stream: bool) -> bytes | None:
        number = secrets.randbelow(65536)
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                with self._open(server, stream) as upstream:
                    talk = _over_stream if stream else _over_datagrams
                    return await talk(upstream, server, dnsmessage.with_id(message, number), number, question)
        except (OSError, TimeoutError, EOFError):
            return None

    def _open(self, server: str, stream: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with self._enter():
            opened = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        opened.setblocking(False)
        return opened


async def _over_datagrams(
    upstream: socket.socket, server: str, message: bytes, number: int, question: Question
) -> bytes:
    # A socket of its own, so that a forger must guess the port as well as the id (RFC 5452).
    loop = asyncio.get_running_loop()
    upstream.connect((server, PORT))
    upstream.send(message)
    while True:
        answer = await loop.sock_recv(upstream, 65535)
        if dnsmessage.answers(answer, number, question.asked):
            return answer


async def _over_stream(upstream: socket.socket, server: str, message: bytes, number: int, question: Question) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(upstream, (server, PORT))
    await loop.sock_sendall(upstream, len(message).to_bytes(2, "big") + message)
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        chunk = await loop.sock_recv(upstream, 65537)
        if not chunk:
            raise EOFError
        data += chunk
    answer = data[2 : 2 + int.from_bytes(data[:2], "big")]
    if not dnsmessage.answers(answer, number, question.asked):
        raise EOFError
    return answer
