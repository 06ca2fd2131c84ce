"""Files that a client is asked for while its build runs, over the connection that it keeps (`POST …/watch`).

daemon ── {"Id": 1, "Context": "cache:0", "Name": "index.json"} ──▶ client
       ◀── PUT …/files/1, or DELETE where there is no such file ──
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from ..errors import NotFound, Unavailable

T = TypeVar("T")
Body = AsyncIterator[bytes]


class Asking:
    """One client and what it has yet to answer."""

    def __init__(self) -> None:
        self._questions: asyncio.Queue[bytes] = asyncio.Queue()
        self._pending: dict[int, tuple[str, Callable[[Body], Awaitable[Any]], asyncio.Future[Any]]] = {}
        self._numbers = itertools.count(1)
        self._is_connected = False

    async def ask(self, context: str, name: str, take: Callable[[Body], Awaitable[T]]) -> T:
        """What `take` makes of a file's contents. NotFound where there is none, Unavailable where nobody answers."""
        if not self._is_connected:
            raise Unavailable("the client keeps no connection to be asked over")
        number, answered = next(self._numbers), asyncio.get_running_loop().create_future()
        self._pending[number] = name, take, answered
        self._questions.put_nowait(msgspec.json.encode({"Id": number, "Context": context, "Name": name}) + b"\n")
        try:
            return cast(T, await answered)
        finally:
            self._pending.pop(number, None)

    async def questions(self) -> AsyncIterator[bytes]:
        """What is to be sent to the client, for as long as it is connected."""
        self._is_connected = True
        while True:
            yield await self._questions.get()

    async def answer(self, number: int, body: Body) -> None:
        """The contents of what was asked for."""
        _, take, answered = self._take(number)
        try:
            _settle(answered, await take(body))
        except Exception as error:
            _settle(answered, error)
            raise
        except asyncio.CancelledError:
            _settle(answered, Unavailable("the client went away"))
            raise

    def refuse(self, number: int) -> None:
        """There is no such file."""
        name, _, answered = self._take(number)
        _settle(answered, NotFound(f"{name}: not found"))

    def _take(self, number: int) -> tuple[str, Callable[[Body], Awaitable[Any]], asyncio.Future[Any]]:
        found = self._pending.pop(number, None)
        if found is None:
            raise NotFound(f"nobody asked for file {number}")
        return found

    def close(self) -> None:
        """The client has left."""
        self._is_connected = False
        for _, _, answered in self._pending.values():
            _settle(answered, Unavailable("the client went away"))


def _settle(answered: asyncio.Future[Any], outcome: Any) -> None:
    if answered.done():
        return  # who asked has given up
    if isinstance(outcome, Exception):
        answered.set_exception(outcome)
    else:
        answered.set_result(outcome)


@dataclass(frozen=True)
class Asked:
    """A directory of the client's by its name."""

    asking: Asking
    context: str

    async def file(self, name: str, take: Callable[[Body], Awaitable[T]]) -> T:
        """What `take` makes of a file's contents."""
        return await self.asking.ask(self.context, name, take)
