"""Builds, against BuildKit inside dockerd."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from .engines import Dockerd
from .measure import interleaved, seconds

_NUMBERS = itertools.count()

FIVE_RUNS = "FROM busybox\nARG SALT\n" + "".join(f"RUN echo {number} $SALT > /{number}\n" for number in range(5))
THREE_STAGES = (
    "FROM busybox AS a\nARG SALT\nRUN echo $SALT > /a\n"
    "FROM busybox AS b\nARG SALT\nRUN echo $SALT > /b\n"
    "FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
)
SLEEPING_STAGES = THREE_STAGES.replace(" > /a", " > /a && sleep 0.3").replace(" > /b", " > /b && sleep 0.3")
"""One after the other they would take 0.3 s more."""
MANY_FILES = "FROM busybox\nARG SALT\nCOPY . /files/\n"


class Contexts:
    """Build contexts below dockerd's state directory, which both engines' clients can read."""

    def __init__(self, dockerd: Dockerd) -> None:
        self._root = dockerd.peer.state / "contexts"

    def make(self, name: str, dockerfile: str, files: int = 0) -> Path:
        """A context with its Dockerfile and some small files."""
        path = self._root / name
        path.mkdir(parents=True)
        (path / "Dockerfile").write_text(dockerfile)
        for number in range(files):
            (path / f"f{number}").write_text(f"file {number}\n" * 20)
        return path


Argv = Callable[..., list[str]]


def uncached(sampan: Argv, dockerd: Argv, context: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of a build whose steps have all changed, by two clients' commands."""

    def build(argv: Argv) -> Callable[[], float]:
        def once() -> float:
            salt = f"SALT={next(_NUMBERS)}"
            touched = context / "salt"
            touched.write_text(salt)
            return 1000 * seconds(argv("build", "-q", "--build-arg", salt, str(context)))

        return once

    return interleaved({"sampan": build(sampan), "dockerd": build(dockerd)}, rounds)


def cached(sampan: Argv, dockerd: Argv, context: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of a build of which nothing has changed."""

    def build(argv: Argv) -> Callable[[], float]:
        return lambda: 1000 * seconds(argv("build", "-q", "--build-arg", "SALT=same", str(context)))

    return interleaved({"sampan": build(sampan), "dockerd": build(dockerd)}, rounds)
