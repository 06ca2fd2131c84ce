"""Statistics of a hundred containers: what one look at all of them takes, and what streaming them costs the daemon."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator

from tests.support.guest.agent import Connection

from .engines import Dockerd, Engine, Sampan
from .measure import interleaved, processor, seconds

CONTAINERS = 100
BATCH = 10
SECONDS = 8
"""How long the streams are watched."""


class Fleet:
    """A hundred containers on each daemon, made when they are first needed."""

    def __init__(self, sampan: Sampan, dockerd: Dockerd) -> None:
        self._sockets = {"sampan": sampan.socket, "dockerd": dockerd.socket}
        self._engines: list[Engine] = [sampan, dockerd]
        self._names = [f"bench-watched-{number}" for number in range(CONTAINERS)]
        self._made = False

    def close(self) -> None:
        if self._made:
            for engine in self._engines:
                seconds(engine.argv("rm", "-f", *self._names))

    def _each(self, call: Callable[[Engine], Callable[[], float]], rounds: int) -> dict[str, float]:
        if not self._made:
            self._made = True
            for engine in self._engines:
                for name in self._names:
                    seconds(engine.argv("create", "--name", name, "busybox", "sleep", "3600"))
                for first in range(0, CONTAINERS, BATCH):
                    seconds(engine.argv("start", *self._names[first : first + BATCH]))
        return interleaved({engine.name: call(engine) for engine in self._engines}, rounds)

    def snapshot(self, rounds: int) -> dict[str, float]:
        """ms for the one-shot statistics of all, one after the other over one connection."""

        def call(engine: Engine) -> Callable[[], float]:
            def once() -> float:
                connection = Connection(self._sockets[engine.name], 60)
                began = time.perf_counter()
                for name in self._names:
                    connection.request("GET", f"/containers/{name}/stats?stream=0&one-shot=1")
                    figures = json.load(connection.getresponse())
                    assert figures["pids_stats"]["current"] == 1, figures
                took = time.perf_counter() - began
                connection.close()
                return 1000 * took

            return once

        return self._each(call, rounds)

    def table(self, rounds: int) -> dict[str, float]:
        """ms for `docker stats --no-stream`; the client shows nothing before half a second has passed."""
        return self._each(lambda engine: lambda: 1000 * seconds(engine.argv("stats", "--no-stream")), rounds)

    def streaming(self, rounds: int) -> dict[str, float]:
        """Per cent of a processor that the daemon takes while a client shows all of them live."""

        def call(engine: Engine) -> Callable[[], float]:
            def once() -> float:
                with _watched(engine):
                    time.sleep(2)  # the client has begun with all of them
                    daemons = engine.daemons()
                    before, began = processor(daemons), time.perf_counter()
                    time.sleep(SECONDS)
                    return 100 * (processor(daemons) - before) / (time.perf_counter() - began)

            return once

        return self._each(call, rounds)


@contextlib.contextmanager
def _watched(engine: Engine) -> Iterator[None]:
    client = subprocess.Popen(engine.argv("stats"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        client.kill()
        client.wait()
