"""Looking at many containers, by the stock client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.support.guest.agent import Connection

from .engines import Dockerd, Sampan
from .measure import interleaved, seconds

CONTAINERS = 500


class Api(Connection):
    """One connection to an engine's socket: 500 clients would take minutes to start."""

    def __init__(self, path: str) -> None:
        super().__init__(path, timeout=60)

    def call(self, method: str, path: str, body: object = None) -> bytes:
        """One request, which must succeed."""
        self.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        response = self.getresponse()
        data = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {data.decode()}")
        return data


class Crowd:
    """500 containers on each engine, made when first asked for."""

    def __init__(self, sampan: Sampan, dockerd: Dockerd) -> None:
        self._engines = (sampan, dockerd)
        self._made: dict[str, float] = {}

    def creating(self) -> dict[str, float]:
        """Milliseconds of the creation of one."""
        if not self._made:
            self._made = {engine.name: _create(Api(engine.socket)) for engine in self._engines}
        return self._made

    def looking(self, *command: str, rounds: int) -> dict[str, float]:
        """Milliseconds of a client's command."""
        self.creating()
        calls = {engine.name: partial(seconds, engine.argv(*command)) for engine in self._engines}
        return {name: 1000 * took for name, took in interleaved(calls, rounds).items()}

    def remembering(self, rounds: int) -> dict[str, float]:
        """Milliseconds of reading the events of their creation again."""
        until = str(int(time.time()))
        return self.looking("events", "--since", "1", "--until", until, rounds=rounds)

    def close(self) -> None:
        for engine in self._engines if self._made else ():
            api = Api(engine.socket)
            for number in range(CONTAINERS):
                api.call("DELETE", f"/containers/crowd-{number}")
            api.close()


def _create(api: Api) -> float:
    began = time.perf_counter()
    for number in range(CONTAINERS):
        body = {"Image": "busybox", "Cmd": ["true"], "Labels": {"number": str(number)}}
        api.call("POST", f"/containers/create?name=crowd-{number}", body)
    took = time.perf_counter() - began
    api.close()
    return 1000 * took / CONTAINERS


@contextmanager
def connected(path: str) -> Iterator[Api]:
    """A connection that is closed behind."""
    api = Api(path)
    try:
        yield api
    finally:
        api.close()
