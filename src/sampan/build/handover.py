"""What our own client hands over before a build: secrets, agents, named contexts. Held in memory and in tmp only.

A handover ends with its build, or with its client's connection when no build takes it up. One that holds what a build
gave ends when its client has fetched that, or with that connection; of clients that keep none open, by itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ..cas.threads import run_in_thread
from ..engine.bodies import fed
from ..errors import Conflict, NotFound
from .agents import AgentSocket
from .asking import Asking
from .context import received
from .contextstore import ContextStore
from .filetree import FileTree
from .syncing import Incoming, Manifest

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from .storing import Built

PATIENCE = 300.0
"""Seconds that a handover waits for its next request, where its client is not watched."""


class Handover:
    """`contexts` maps names to files that were sent; `secrets` ids to values."""

    def __init__(self, engine: Engine, owner: str = "") -> None:
        self.id = token_hex(16)
        self.owner = owner
        """The handover whose build gave it, if it holds a result."""
        self.abandoned = False
        """Its client has left and will not come for it."""
        self.contexts: dict[str, FileTree] = {}
        self.secrets: dict[str, bytes] = {}
        self.lent: dict[str, AgentSocket] = {}
        self.asking = Asking()
        self.built: Built | None = None
        self.users = 0
        """Requests that are under way; it does not expire meanwhile, however long they take."""
        self.stack = AsyncExitStack()
        self._engine = engine
        self._incoming: dict[str, Incoming] = {}

    @property
    def agents(self) -> dict[str, str]:
        """Sockets of agents by name."""
        return {name: agent.path for name, agent in self.lent.items()}

    def lend(self, name: str) -> AgentSocket:
        """The socket of an agent that the client lends; made when it is first asked for."""
        if name not in self.lent:
            agent = AgentSocket(f"{self._engine.paths.exec_root}/builds/{token_hex(8)}/agent")
            self.stack.push_async_callback(agent.close)
            self.lent[name] = agent
        return self.lent[name]

    async def receive(self, name: str, body: AsyncIterator[bytes]) -> None:
        """Take in a named context."""
        if name in self.contexts:
            raise Conflict(f"build context {name} was sent already")
        self.contexts[name] = await self.stack.enter_async_context(received(self._engine, body))

    async def announce(self, name: str, manifest: Manifest, store: ContextStore) -> list[int]:
        """Take in a context's manifest; numbers of its entries whose contents are wanted. A later one replaces it."""
        if name in self.contexts:
            raise Conflict(f"build context {name} was sent already")
        incoming = await run_in_thread(lambda: Incoming(store, manifest))
        self.stack.callback(incoming.close)
        self._incoming[name] = incoming
        missing = incoming.place()
        if not missing:
            self.contexts[name] = incoming.tree
        return missing

    async def fill(self, name: str, body: AsyncIterator[bytes]) -> list[int]:
        """Take in the contents that were wanted; numbers of those that are not what the manifest says."""
        incoming = self._incoming.get(name)
        if incoming is None or name in self.contexts:
            raise Conflict(f"build context {name} wants no contents")
        path = f"{self._engine.paths.tmp}/build-{token_hex(8)}"
        try:
            async with fed(body) as feed:
                changed = await run_in_thread(lambda: incoming.receive(feed, path), feed.interrupt)
            incoming.keep(path, changed)
        finally:
            if os.path.exists(path):
                os.unlink(path)
        if not changed:
            self.contexts[name] = incoming.tree
        return changed


class Handovers:
    """Those of one engine."""

    def __init__(self) -> None:
        self._held: dict[str, Handover] = {}
        self._all: WeakValueDictionary[str, Handover] = WeakValueDictionary()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._watched: set[str] = set()
        """Handovers whose clients are connected: neither they nor what was built from them expires meanwhile."""
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self, engine: Engine) -> Handover:
        """A new one."""
        made = Handover(engine)
        self.offer(made)
        return made

    def offer(self, made: Handover) -> None:
        """From now on its client may come for it."""
        self._held[made.id] = self._all[made.id] = made
        self._restart(made.id)

    def delivery(self, identity: str) -> Built:
        """What the build gave that this one is for."""
        found = self.get(identity)
        if found.built is None:
            raise NotFound(f"build session {identity} holds no result")
        return found.built

    def get(self, identity: str) -> Handover:
        """One by its id, which only its client knows."""
        found = self._held.get(identity)
        if found is None:
            raise NotFound(f"no such build session: {identity}")
        self._restart(identity)
        return found

    @contextmanager
    def using(self, identity: str) -> Iterator[Handover]:
        """One by its id, for the length of a request."""
        found = self.get(identity)
        found.users += 1
        if (timer := self._timers.pop(identity, None)) is not None:
            timer.cancel()
        try:
            yield found
        finally:
            found.users -= 1
            if identity in self._held:
                self._restart(identity)

    @contextmanager
    def watching(self, identity: str) -> Iterator[Handover]:
        """For as long as its client is connected; then it goes, and so does what a build gave that nobody fetched."""
        found = self.get(identity)
        self._watched.add(identity)
        self._restart(identity)
        try:
            yield found
        finally:
            found.asking.close()
            self._watched.discard(identity)
            for one in list(self._held.values()):
                if identity in (one.id, one.owner):
                    one.abandoned = True
                    self._restart(one.id)

    def lender(self, identity: str) -> Handover:
        """One by its id, whether a build has taken it up or not; a new agent is lent only before that."""
        found = self._all.get(identity)
        if found is None:
            raise NotFound(f"no such build session: {identity}")
        return found

    def take(self, identity: str) -> Handover:
        """Take it up: from now on its end is the caller's business (`stack.aclose`)."""
        found = self.get(identity)
        del self._held[identity]
        if (timer := self._timers.pop(identity, None)) is not None:
            timer.cancel()
        return found

    async def close(self) -> None:
        """Drop all that nobody took up."""
        for identity in list(self._held):
            await self.take(identity).stack.aclose()
        if self._ending:
            await asyncio.wait(self._ending)

    def _restart(self, identity: str) -> None:
        timer = self._timers.pop(identity, None)
        if timer is not None:
            timer.cancel()
        held = self._held[identity]
        if held.users or {held.id, held.owner} & self._watched:
            return
        loop, patience = asyncio.get_running_loop(), 0.0 if held.abandoned else PATIENCE
        self._timers[identity] = loop.call_later(patience, self._expire, identity)

    def _expire(self, identity: str) -> None:
        task = asyncio.ensure_future(self.take(identity).stack.aclose())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
