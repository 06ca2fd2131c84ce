"""What containers write: to a log, from there to a client, and straight to a client."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable
from functools import partial

from .engines import Dockerd, Engine, Sampan
from .measure import interleaved, seconds

MEGABYTES = 32
_NUMBERS = itertools.count()
_LINE = "a line of a log as a program may write it, eighty characters wide or about that much"
_WRITE = f"yes '{_LINE}' | head -c {MEGABYTES << 20}"


class Output:
    """One container on each engine that has written 32 MB."""

    def __init__(self, sampan: Sampan, dockerd: Dockerd) -> None:
        self._engines = (sampan, dockerd)
        self._last: dict[str, str] = {}

    def logging(self, rounds: int) -> dict[str, float]:
        """Seconds until all is in the json-file, which the program waits for through its pipe."""
        return interleaved({engine.name: partial(self._write, engine) for engine in self._engines}, rounds)

    def _write(self, engine: Engine) -> float:
        self._forget(engine)
        name = self._last[engine.name] = f"bench-output-{next(_NUMBERS)}"
        began = time.perf_counter()
        flags = ("--network", "none", "--log-opt", "max-size=4g")  # ours would keep the last 100 MB
        seconds(engine.argv("run", "-d", *flags, "--name", name, "busybox", "sh", "-c", _WRITE))
        seconds(engine.argv("wait", name))
        return time.perf_counter() - began

    def reading(self, rounds: int) -> dict[str, float]:
        """Seconds of `docker logs` of it."""
        for engine in self._engines:
            if engine.name not in self._last:
                self._write(engine)
        return self._piped(rounds, lambda engine: engine.argv("logs", self._last[engine.name]))

    def attached(self, rounds: int) -> dict[str, float]:
        """Seconds of as much from a program to the client, with no log."""
        flags = ("run", "--rm", "--network", "none", "--log-driver", "none", "busybox", "sh", "-c", _WRITE)
        return self._piped(rounds, lambda engine: engine.argv(*flags))

    def _piped(self, rounds: int, argv: Callable[[Engine], list[str]]) -> dict[str, float]:
        return interleaved({engine.name: partial(_drained, argv(engine)) for engine in self._engines}, rounds)

    def _forget(self, engine: Engine) -> None:
        if engine.name in self._last:
            seconds(engine.argv("rm", "-f", self._last.pop(engine.name)))

    def close(self) -> None:
        for engine in self._engines:
            self._forget(engine)


def _drained(argv: list[str]) -> float:
    began = time.perf_counter()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        count = 0
        while data := client.stdout.read1(1 << 20):  # type: ignore[attr-defined] # a BufferedReader
            count += len(data)
    if client.returncode or count != MEGABYTES << 20:
        raise RuntimeError(f"{' '.join(argv)}: exit {client.returncode} after {count} octets")
    return time.perf_counter() - began
