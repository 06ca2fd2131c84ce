"""What is measured. Each scenario returns a figure for each engine: smaller is better, unless it says `rate`."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.leaks import CGROUP_PARENT

from . import builds, endurance, starting, traffic
from .crowd import Crowd
from .engines import Dockerd, Engine, Podman, Sampan
from .measure import GAP, SETTLED, alone, interleaved, proportional, seconds, together
from .output import Output
from .transfers import Transfers
from .watching import Fleet

Figures = dict[str, float]
_NUMBERS = itertools.count()


@dataclass
class Bench:
    """The engines under test and how many rounds each scenario takes."""

    sampan: Sampan
    dockerd: Dockerd
    podman: Podman
    rounds: int

    def __post_init__(self) -> None:
        self.transfers = Transfers(self.dockerd)
        self.fleet = Fleet(self.sampan, self.dockerd)
        self.crowd = Crowd(self.sampan, self.dockerd)
        self.output = Output(self.sampan, self.dockerd)
        self.few = max(3, self.rounds // 3)

    def close(self) -> None:
        self.output.close()
        self.crowd.close()
        self.transfers.close()
        self.fleet.close()

    @property
    def all(self) -> list[Engine]:
        return [self.sampan, self.dockerd, self.podman]

    @property
    def daemons(self) -> list[Engine]:
        return [self.sampan, self.dockerd]


@dataclass(frozen=True)
class Scenario:
    """`target` is the ratio to dockerd (or to the named peer) that design.md §5 asks for; None where it names none."""

    name: str
    unit: str
    target: float | None
    run: Callable[[Bench], Figures]
    peer: str = "dockerd"
    limit: float | None = None
    """What our own figure may be at most, in its unit."""


def _runs(*flags: str, gap: float) -> Callable[[Bench], Figures]:
    def scenario(bench: Bench) -> Figures:
        def call(engine: Engine) -> Callable[[], float]:
            return lambda: 1000 * seconds(engine.argv("run", "--rm", *flags, "busybox", "true"))

        return interleaved({engine.name: call(engine) for engine in bench.all}, bench.rounds, gap)

    return scenario


def _exec(bench: Bench) -> Figures:
    for engine in bench.all:
        seconds(engine.argv("run", "-d", "--name", "bench-exec", "busybox", "sleep", "3600"))

    def call(engine: Engine) -> Callable[[], float]:
        return lambda: 1000 * seconds(engine.argv("exec", "bench-exec", "true"))

    figures = interleaved({engine.name: call(engine) for engine in bench.all}, bench.rounds, GAP)
    for engine in bench.all:
        seconds(engine.argv("rm", "-f", "bench-exec"))
    return figures


def _parallel(bench: Bench) -> Figures:
    def call(engine: Engine) -> Callable[[], float]:
        return lambda: 1000 * together([engine.argv("run", "--rm", "busybox", "true")] * 8)

    return interleaved({engine.name: call(engine) for engine in bench.all}, bench.few)


def _stop(bench: Bench) -> Figures:
    program = "trap 'exit 0' TERM; while :; do sleep 0.01; done"

    def call(engine: Engine) -> Callable[[], float]:
        def once() -> float:
            name = f"bench-stop-{next(_NUMBERS)}"
            seconds(engine.argv("run", "-d", "--name", name, "busybox", "sh", "-c", program))
            took = seconds(engine.argv("stop", name))
            seconds(engine.argv("rm", "-f", name))
            return 1000 * took

        return once

    return interleaved({engine.name: call(engine) for engine in bench.daemons}, bench.few)


def _idle_daemon(bench: Bench) -> Figures:
    time.sleep(SETTLED)
    return {engine.name: alone(engine.daemons()) for engine in bench.daemons}


def _idle_container(bench: Bench) -> Figures:
    figures = {}
    for engine in bench.all:
        names = [f"bench-idle-{number}" for number in range(20)]
        for name in names:
            seconds(engine.argv("run", "-d", "--name", name, "busybox", "sleep", "3600"))
        time.sleep(SETTLED)
        figures[engine.name] = sum(proportional(engine.keepers(name)) for name in names) / len(names)
        seconds(engine.argv("rm", "-f", *names))
    return figures


def _runtimes(bench: Bench) -> Figures:
    """`run` of one bundle by both runtimes, on the machine itself, with no network namespace set up."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        bundle = Path(scratch)
        (bundle / "rootfs").mkdir()
        export = subprocess.run(
            bench.dockerd.argv("run", "--rm", "busybox", "tar", "-C", "/", "-cf", "-", "bin", "etc", "tmp"),
            capture_output=True, check=True,
        ).stdout  # fmt: skip
        seconds(["tar", "-C", str(bundle / "rootfs"), "-xf", "-"], stdin=export)
        seconds(["runc", "spec", "--bundle", scratch])
        config = (bundle / "config.json").read_text()
        config = config.replace('"terminal": true', '"terminal": false').replace('"sh"', '"true"')
        config = config.replace('"linux": {', f'"linux": {{ "cgroupsPath": "{CGROUP_PARENT}/bench",', 1)
        (bundle / "config.json").write_text(config)

        def call(program: str) -> Callable[[], float]:
            def once() -> float:
                name = f"bench-{next(_NUMBERS)}"
                return 1000 * seconds([program, "--root", f"{scratch}/state", "run", "--bundle", scratch, name])

            return once

        from tests.support.daemon import BIN

        return interleaved({"sampan": call(str(BIN / "sampan-runc")), "runc": call("runc")}, bench.rounds, 0.05)


def _build(
    name: str, dockerfile: str, files: int = 0, *, cached: bool = False,
    way: Callable[[Sampan], builds.Argv] = lambda sampan: sampan.build_argv,
) -> Callable[[Bench], Figures]:  # fmt: skip
    def scenario(bench: Bench) -> Figures:
        context = builds.Contexts(bench.dockerd).make(f"{name}-{next(_NUMBERS)}", dockerfile, files)
        measure = builds.cached if cached else builds.uncached
        return measure(way(bench.sampan), bench.dockerd.build_argv, context, bench.few)

    return scenario


def _own(sampan: Sampan) -> builds.Argv:
    return sampan.own_build_argv


def _buildx(sampan: Sampan) -> builds.Argv:
    return sampan.buildx_argv


def _through_ports(measure: Callable[[traffic.Servers], float], slices: int = 1) -> Callable[[Bench], Figures]:
    return lambda bench: traffic.through_ports(bench.sampan, bench.dockerd, slices * bench.few, measure)


def _questions(measure: Callable[[Sampan, Dockerd, int], Figures]) -> Callable[[Bench], Figures]:
    return lambda bench: measure(bench.sampan, bench.dockerd, bench.few)


def _publishing(clock: Callable[[Engine], float]) -> Callable[[Bench], Figures]:
    return lambda bench: traffic.publishing(bench.sampan, bench.dockerd, bench.few, clock)


def _client(*command: str) -> Callable[[Bench], Figures]:
    return lambda bench: starting.clients(bench.sampan, bench.dockerd, command, bench.rounds)


def _crowded(*command: str) -> Callable[[Bench], Figures]:
    return lambda bench: bench.crowd.looking(*command, rounds=bench.few)


def _watching(measure: Callable[[Fleet, int], Figures]) -> Callable[[Bench], Figures]:
    return lambda bench: measure(bench.fleet, bench.few)


def _growth(bench: Bench) -> Figures:
    return endurance.growth(bench.sampan, bench.dockerd)


SCENARIOS = (
    Scenario("run --rm, bridge, 150 ms apart", "ms", 1 / 4, _runs(gap=GAP)),
    Scenario("run --rm, bridge, back to back", "ms", 1 / 4, _runs(gap=0)),
    Scenario("run --rm, no network, 150 ms apart", "ms", 1 / 3, _runs("--network", "none", gap=GAP)),
    Scenario("run --rm, no network, back to back", "ms", 1 / 3, _runs("--network", "none", gap=0)),
    Scenario("exec in a running container", "ms", 1 / 2, _exec),
    Scenario("8 runs at once", "ms", 1 / 4, _parallel),
    Scenario("stop of a willing container", "ms", 1.0, _stop),
    Scenario("memory of an idle container (of 20)", "MB", 1 / 2, _idle_container),
    Scenario("memory of the idle daemon", "MB", 1 / 2, _idle_daemon),
    Scenario("memory of a daemon just started", "MB", 1 / 2, lambda bench: starting.memory()),
    Scenario("start of the daemon", "ms", None, lambda bench: starting.daemons(bench.few)),
    Scenario("own client: version", "ms", 1.0, _client("version")),
    Scenario("own client: ps", "ms", 1.0, _client("ps")),
    Scenario("own client: images", "ms", 1.0, _client("images")),
    Scenario("own client: inspect", "ms", 1.0, _client("inspect", "busybox")),
    Scenario("own client: run --rm", "ms", 1.0, _client("run", "--rm", "busybox", "true")),
    Scenario("32 MB to a json-file", "s", 1.0, lambda bench: bench.output.logging(3)),
    Scenario("32 MB by docker logs", "s", 1.0, lambda bench: bench.output.reading(3)),
    Scenario("32 MB from program to client", "s", 1.0, lambda bench: bench.output.attached(3)),
    Scenario("growth by 100 runs, execs and logs", "MB", None, _growth, limit=1),
    Scenario("create, 500 times", "ms", 1.0, lambda bench: bench.crowd.creating()),
    Scenario("ps -a of 500 containers", "ms", 1.0, _crowded("ps", "-a")),
    Scenario("inspect among 500 containers", "ms", 1.0, _crowded("inspect", "crowd-250")),
    Scenario("events of 500 containers", "ms", 1.0, lambda bench: bench.crowd.remembering(bench.few)),
    Scenario("load of 280 MB in 12,000 files", "s", 1 / 3, lambda bench: bench.transfers.load()),
    Scenario("memory of that load, at most", "MB", None, lambda bench: bench.transfers.peak("load"), limit=150),
    Scenario("pull of 280 MB in 12,000 files", "s", 1 / 3, lambda bench: bench.transfers.pull()),
    Scenario("memory of that pull, at most", "MB", None, lambda bench: bench.transfers.peak("pull"), limit=150),
    Scenario("fetched by 8 pulls on one base", "MB", 1.02, lambda bench: bench.transfers.shared(), peer="base"),
    Scenario("build of 5 RUN, nothing cached", "ms", 1 / 3, _build("runs", builds.FIVE_RUNS)),
    Scenario("build of 5 RUN, all cached", "ms", 1 / 3, _build("runs", builds.FIVE_RUNS, cached=True)),
    Scenario("build of 3 stages, nothing cached", "ms", 1 / 3, _build("stages", builds.THREE_STAGES)),
    # 300 of its milliseconds are nobody's work, so that a ratio says little: it shows that stages run side by side
    Scenario("build of 3 stages that sleep 300 ms", "ms", None, _build("sleeping", builds.SLEEPING_STAGES)),
    Scenario("build of 3 stages, all cached", "ms", 1 / 3, _build("stages", builds.THREE_STAGES, cached=True)),
    Scenario("COPY of 2,000 files, nothing cached", "ms", 1 / 3, _build("files", builds.MANY_FILES, 2000, way=_own)),
    Scenario(
        "COPY of 2,000 files, all cached", "ms", 1 / 3, _build("files", builds.MANY_FILES, 2000, cached=True, way=_own)
    ),
    # the stock client reads and sends all 2,000 whatever we do: 250 ms of its own CPU time
    Scenario("COPY of 2,000 sent by docker, not cached", "ms", None, _build("files", builds.MANY_FILES, 2000)),
    Scenario(
        "COPY of 2,000 sent by docker, all cached", "ms", None, _build("files", builds.MANY_FILES, 2000, cached=True)
    ),
    Scenario("5 RUN by buildx, nothing cached", "ms", None, _build("runs", builds.FIVE_RUNS, way=_buildx)),
    Scenario("5 RUN by buildx, all cached", "ms", None, _build("runs", builds.FIVE_RUNS, cached=True, way=_buildx)),
    Scenario("COPY of 2,000 by buildx, not cached", "ms", None, _build("files", builds.MANY_FILES, 2000, way=_buildx)),
    Scenario(
        "COPY of 2,000 by buildx, all cached",
        "ms",
        None,
        _build("files", builds.MANY_FILES, 2000, cached=True, way=_buildx),
    ),
    Scenario("a gigabyte through a published port", "ms", 1.0, _through_ports(traffic.gigabyte)),
    Scenario("a connection through a published port", "us", 1.0, _through_ports(traffic.connection, traffic.SLICES)),
    Scenario("a connection's processor time", "us", 1.0, _through_ports(traffic.effort, traffic.SLICES)),
    Scenario("a published port, of 1,000 (dockerd: 100)", "ms", 1.0, _publishing(traffic.wall), limit=0.1),
    Scenario("a published port's processor time", "ms", 1.0, _publishing(traffic.daemon_time), limit=0.1),
    Scenario("a question of a name, of 10 containers", "us", None, _questions(traffic.questions), limit=500),
    Scenario("10,000 questions, 2,000 a second", "s", None, _questions(traffic.paced_questions), limit=5.1),
    Scenario("a question's processor time", "us", None, _questions(traffic.question_effort), limit=100),
    Scenario("one-shot stats of 100 containers", "ms", 1.0, _watching(Fleet.snapshot), limit=300),
    Scenario("docker stats --no-stream of them", "ms", 1.0, _watching(Fleet.table)),
    Scenario("the daemon, streaming their stats", "% CPU", 1.0, _watching(Fleet.streaming), limit=5),
    Scenario("sampan-runc run against runc run", "ms", 1.5, _runtimes, peer="runc"),
)
