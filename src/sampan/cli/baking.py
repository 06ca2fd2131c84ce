"""Building the targets of a bake file: at the same time, shown in one display, those that others start from first."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from secrets import token_hex
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from .bake_flags import flags_of
from .bake_target import Target, links
from .build_progress import Part, View
from .command import CommandFailed
from .flags import Parser

if TYPE_CHECKING:
    from .session import Session

CONTEXT_ONLY = [{"type": "cacheonly"}]
"""The output of a target that nobody asked for but one that starts from it."""
_PERIOD = 0.2


class Baking:
    """Each target is built once, in a thread and over a connection of its own.

    The first that fails cancels the others. Images of targets that are only others' contexts go at the end unless they
    have names.
    """

    def __init__(self, session: Session, targets: dict[str, Target], view: View) -> None:
        self._session, self._targets, self._view = session, targets, view
        self._lock = Lock()
        self._futures: dict[str, Future[_Baked]] = {}
        self._building: set[str] = set()
        """Names by which builds can be cancelled."""
        self._stopping = Event()
        self._failure: BaseException | None = None

    def run(self, wanted: list[str]) -> dict[str, Any]:
        """What `build --metadata-file` says, by target. Raises what the first that failed raised."""
        order: list[str] = []
        for name in wanted:
            self._add(name, (), order)
        with ExitStack() as stack, ThreadPoolExecutor(len(order)) as pool:
            for name in order:
                self._futures[name] = pool.submit(self._build, name, self._session.another())
            try:
                wait(self._futures.values(), return_when=FIRST_EXCEPTION)
            finally:
                self._stop()
            if self._failure is not None:
                raise self._failure
            baked = {name: future.result() for name, future in self._futures.items()}
            for name, one in baked.items():
                if self._is_context_only(name):
                    stack.callback(self._discard, one.image)
        return {name: one.metadata for name, one in baked.items()}

    def _add(self, name: str, path: tuple[str, ...], order: list[str]) -> None:
        """Linked ones before those that wait for them."""
        if name in path:
            raise CommandFailed(f"infinite loop from {name}")
        for below in links(self._targets[name]).values():
            self._add(below, (*path, name), order)
        if name not in order:
            order.append(name)

    def _build(self, name: str, session: Session) -> _Baked:
        try:
            target = dict(self._targets[name])
            target["contexts"] = {**target.get("contexts", {}), **self._linked(name)}
            if self._is_context_only(name):
                target.pop("output")
            return self._run(name, target, session)
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or _named(name, error)
            raise
        finally:
            session.close()

    def _is_context_only(self, name: str) -> bool:
        return self._targets[name].get("output") is CONTEXT_ONLY

    def _linked(self, name: str) -> dict[str, str]:
        found = {}
        for context, below in links(self._targets[name]).items():
            image = self._futures[below].result().image
            if not image:
                raise CommandFailed(f"target {below} is a context of another one: its output cannot be elsewhere only")
            found[context] = f"docker-image://{image}"
        return found

    def _run(self, name: str, target: Target, session: Session) -> _Baked:
        from .build import build, run

        with tempfile.TemporaryDirectory(prefix="sampan-bake-") as scratch:
            path = os.path.join(scratch, "metadata")
            words = [f"--metadata-file={path}", *flags_of(target, scratch), "--", target.get("context", ".")]
            options, (where,) = Parser(build.flags).parse(words)
            view = Part(self._view, name if len(self._targets) > 1 else "", self._lock)
            with self._cancellable() as identity:
                outcome = run(session, options, where, view, identity)
            with open(path, encoding="utf-8") as file:
                metadata = json.load(file)
        elsewhere = any(output.get("type") in ("local", "tar") for output in target.get("output", ()))
        return _Baked("" if elsewhere else outcome.image, metadata)

    @contextmanager
    def _cancellable(self) -> Iterator[str]:
        """A name by which a build can be ended for as long as it lasts."""
        identity = token_hex(16)
        with self._lock:
            self._building.add(identity)
        try:
            if self._stopping.is_set():
                raise CommandFailed("cancelled")
            yield identity
        finally:
            with self._lock:
                self._building.remove(identity)

    def _stop(self) -> None:
        """End what is being built still; again and again, for a build is known to the daemon once its context is."""
        self._stopping.set()
        while wait(self._futures.values(), timeout=_PERIOD).not_done:
            with self._lock:
                building = list(self._building)
            for identity in building:
                self._session.client.build_cancel(identity)

    def _discard(self, image: str) -> None:
        from sampan.errors import SampanError

        try:
            if not self._session.client.image_inspect(image).get("RepoTags"):
                self._session.client.image_remove(image)
        except SampanError:
            return  # somebody else has taken or removed it


class _Baked:
    """What a target gave: its image's ID, empty where it went elsewhere; facts about it."""

    def __init__(self, image: str, metadata: dict[str, Any]) -> None:
        self.image, self.metadata = image, metadata


def _named(name: str, error: BaseException) -> BaseException:
    """The error with its target, as buildx words it."""
    if not isinstance(error, CommandFailed):
        return error
    text = str(error).removeprefix("ERROR: ").removeprefix("failed to build: ")
    return CommandFailed(f"ERROR: target {name}: {text}", error.status)
