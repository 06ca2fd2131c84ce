"""How long a daemon and the clients take to start."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from tests.support.daemon import BIN, Daemon
from tests.support.peer import Peer

from .crowd import connected
from .engines import Dockerd, Sampan, descendants
from .measure import SETTLED, alone, interleaved, seconds

_POLL = 0.002


def daemons(rounds: int) -> dict[str, float]:
    """Milliseconds from the command to the first answer, on data of an earlier run."""

    def starts(daemon: Daemon | Peer) -> Callable[[], float]:
        def once() -> float:
            began = time.perf_counter()
            daemon.launch()
            while not _answers(daemon.socket):
                daemon.check_alive()
                time.sleep(_POLL)
            took = time.perf_counter() - began
            daemon.stop()
            return 1000 * took

        return once

    sampan, dockerd = Daemon(), Peer()
    try:
        return interleaved({"sampan": starts(sampan), "dockerd": starts(dockerd)}, rounds)
    finally:
        sampan.close()
        dockerd.close()


def _answers(path: str) -> bool:
    try:
        with connected(path) as api:
            api.call("GET", "/_ping")
    except OSError:
        return False
    return True


def memory() -> dict[str, float]:
    """Megabytes of daemons that nobody has asked for anything."""
    sampan, dockerd = Daemon().start(), Peer().start()
    try:
        time.sleep(SETTLED)
        ours = [sampan.pid, *descendants(sampan.pid)]
        return {"sampan": alone(ours), "dockerd": alone(dockerd.pids())}
    finally:
        sampan.close()
        dockerd.close()


def clients(sampan: Sampan, dockerd: Dockerd, command: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Milliseconds of a command by each engine's own client: `sampan` against sampand, `docker` against dockerd."""
    own = ["env", "-i", f"PATH={os.environ['PATH']}", f"HOME={sampan.daemon.directory}", str(BIN / "sampan"), "-H",
           sampan.daemon.url, *command]  # fmt: skip
    return interleaved({"sampan": lambda: 1000 * seconds(own),
                        "dockerd": lambda: 1000 * seconds(dockerd.argv(*command))}, rounds)  # fmt: skip
