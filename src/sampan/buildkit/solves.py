"""Builds that clients have under way, and what is told of those that ended.

A client names its build (`Ref`) and may ask for its progress, or steer it, before the build itself has arrived.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from google.protobuf.timestamp_pb2 import Timestamp

from ..build.builder import BuildRequest
from ..build.frontend.request import Target
from ..build.session import Context
from ..errors import Conflict, InvalidArgument, NotFound
from ..registry.config import AuthConfig, AuthFor, no_credentials
from .credentials import auth_for
from .proto.control_pb2 import SolveRequest
from .proto.rpcstatus_pb2 import Status
from .sessions import Session, sessions_of
from .status import Progress, StatusLog

if TYPE_CHECKING:
    from ..engine.engine import Engine

PATIENCE: Final = 15.0
"""Seconds that a question about a build waits for the build."""
_REMEMBERED: Final = {False: 50, True: 10}
"""So many ended builds are told of, and so many of those by which buildx only asks what there is."""
_KEPT: Final = 16 << 20
"""Octets that all they told may have."""


@dataclass(frozen=True)
class Ref:
    """A tree that a client can name by `id`, built or not: `request` says how, `contexts` has what it copies from."""

    id: str
    target: Target
    request: BuildRequest
    contexts: Mapping[str, Context]


@dataclass(frozen=True)
class Outcome:
    """What a front end gives: a tree, or one of each platform; `metadata` has their configurations among others."""

    refs: Mapping[str, Ref] = field(default_factory=dict)
    metadata: Mapping[str, bytes] = field(default_factory=dict)


class ClientFailure(Exception):
    """What a client that steers its build says has gone wrong: the build's own failure."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


class Solve:
    """One build."""

    def __init__(self, engine: Engine, request: SolveRequest) -> None:
        self.engine = engine
        self.request = request
        self.log = StatusLog()
        self.progress = Progress(self.log, request.Ref)
        self.refs: dict[str, Ref] = {}
        self.returned: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        """What a client that steers the build gives back."""
        self.stack = AsyncExitStack()
        """What its contexts need; it may be in use by another build still when this one has ended."""
        self.started, self.ended = Timestamp(), Timestamp()
        self.started.GetCurrentTime()
        self.error = Status()
        self.response: dict[str, str] = {}
        self._auth: AuthFor | None = None
        self._used: list[Solve] = []
        self._holders = 1

    async def session(self, identity: str = "") -> Session:
        """The client's services, or those of another session that it names."""
        wanted = identity or self.request.Session
        if not wanted:
            raise InvalidArgument("the build has no session: its client offers no files, secrets or agents")
        return await sessions_of(self.engine).get(wanted)

    async def credentials(self, domain: str) -> AuthConfig:
        """The client's for a registry; a client without a session has none."""
        if self._auth is None:
            self._auth = auth_for(await self.session()) if self.request.Session else no_credentials
        return await self._auth(domain)

    def keep(self, target: Target, request: BuildRequest, contexts: Mapping[str, Context]) -> Ref:
        """Give a tree a name."""
        ref = Ref(token_hex(12), target, request, contexts)
        self.refs[ref.id] = ref
        return ref

    def use(self, other: Solve) -> None:
        """Keep another build's contexts for as long as this one lasts."""
        if other is not self and other not in self._used:
            other._holders += 1
            self._used.append(other)

    @property
    def sources(self) -> list[Solve]:
        """This build and those whose trees it uses."""
        return [self, *self._used]

    async def release(self) -> None:
        """Let go; the last one that does closes."""
        self._holders -= 1
        if not self._holders:
            for other in self._used:
                await other.release()
            await self.stack.aclose()


class Solves:
    """Those of one engine."""

    def __init__(self) -> None:
        self._running: dict[str, Solve] = {}
        self._ended: OrderedDict[str, Solve] = OrderedDict()
        self._appeared = asyncio.Condition()

    async def begin(self, solve: Solve) -> None:
        """From now on it can be asked for."""
        ref = solve.request.Ref
        if ref in self._running or ref in self._ended:
            raise Conflict(f"build {ref} already exists")
        self._running[ref] = solve
        async with self._appeared:
            self._appeared.notify_all()

    async def end(self, solve: Solve) -> None:
        """It is told of from now on, but no longer steered."""
        solve.ended.GetCurrentTime()
        solve.log.end()
        del self._running[solve.request.Ref]
        self._ended[solve.request.Ref] = solve
        self._forget_oldest()
        await solve.release()
        solve.refs.clear()

    def _forget_oldest(self) -> None:
        for internal, limit in _REMEMBERED.items():
            refs = [ref for ref, one in self._ended.items() if one.request.Internal is internal]
            for ref in refs[:-limit]:
                del self._ended[ref]
        while len(self._ended) > 1 and sum(one.log.size for one in self._ended.values()) > _KEPT:
            self._ended.popitem(last=False)

    async def running(self, ref: str) -> Solve:
        """A build under way, which is waited for."""
        await self.known(ref)
        if ref not in self._running:
            raise NotFound(f"build {ref} has ended")
        return self._running[ref]

    async def known(self, ref: str) -> Solve:
        """A build under way, which is waited for, or one that ended."""
        try:
            async with asyncio.timeout(PATIENCE), self._appeared:
                await self._appeared.wait_for(lambda: ref in self._running or ref in self._ended)
        except TimeoutError:
            raise NotFound(f"no such job {ref}") from None
        return self._running.get(ref) or self._ended[ref]

    def ref(self, identity: str) -> tuple[Solve, Ref]:
        """A tree by its name, and the build that made it."""
        for solve in self._running.values():
            if identity in solve.refs:
                return solve, solve.refs[identity]
        raise NotFound(f"no such ref: {identity}")

    @property
    def active(self) -> list[Solve]:
        """Builds under way."""
        return list(self._running.values())

    @property
    def past(self) -> list[Solve]:
        """Builds that ended, latest first."""
        return list(reversed(self._ended.values()))

    def forget(self, ref: str) -> None:
        """Tell of it no more."""
        if self._ended.pop(ref, None) is None:
            raise NotFound(f"no such build {ref}")


_SOLVES: WeakKeyDictionary[Engine, Solves] = WeakKeyDictionary()


def solves_of(engine: Engine) -> Solves:
    """The engine's builds."""
    return _SOLVES.setdefault(engine, Solves())
