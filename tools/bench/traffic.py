"""Published ports: traffic through them from another host, and what a thousand of them cost."""

from __future__ import annotations

import io
import json
import re
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.support.hosts import Host, connect

from .engines import Dockerd, Engine, Sampan, descendants
from .measure import interleaved, processor, seconds, together

PROGRAMS = ("/usr/bin/iperf3", "/usr/sbin/nginx")
IMAGE, HERE = "bench-servers", "10.99.0.1"
SECONDS = 3
CONNECTIONS = 16
SLICES = 8
"""Connections are measured a second at a time, so often a round: the engines' turns fall closer together."""
ASKERS, QUESTIONS, RATE = 10, 1000, 2000
PORTS = {"sampan": 1000, "dockerd": 100}
"""dockerd starts two processes for each: a thousand take it minutes, and each costs the more the more there are."""
_NGINX = """
daemon off; worker_processes 1; pid /tmp/pid; error_log /dev/null; user root;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp; uwsgi_temp_path /tmp; scgi_temp_path /tmp;
    server { listen 80 backlog=4096; location / { return 200 "hello"; } }
}
"""


def _libraries() -> set[str]:
    words = subprocess.run(["ldd", *PROGRAMS], capture_output=True, text=True, check=True).stdout.split()
    return {word for word in words if word.startswith("/") and not word.endswith(":")}


def _rootfs() -> bytes:
    """The servers of this machine's packages with their libraries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        for path in sorted({*PROGRAMS, *_libraries()}):
            tar.add(path, path.lstrip("/"))
        for name, text in (("etc/passwd", "root:x:0:0::/:/x\n"), ("etc/group", "root:x:0:\n"), ("nginx.conf", _NGINX)):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name in ("tmp", "var/lib/nginx", "var/log/nginx"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
    return buffer.getvalue()


@dataclass(frozen=True)
class Servers:
    """An engine's servers: a host that reaches them, and the process that answers its web requests."""

    outside: Host
    worker: int


@contextmanager
def _servers(engine: Engine, outside: Host) -> Iterator[Servers]:
    """iperf3 on port 5201 and nginx on 8080, published and answering."""
    seconds(engine.argv("import", "-", IMAGE), stdin=_rootfs())
    run = ("run", "-d", "--ulimit", "nofile=8192:8192")
    seconds(engine.argv(*run, "--name", "bench-iperf", "-p", "5201:5201", IMAGE, "/usr/bin/iperf3", "-s"))
    nginx = ("/usr/sbin/nginx", "-c", "/nginx.conf")
    seconds(engine.argv(*run, "--name", "bench-nginx", "-p", "8080:80", IMAGE, *nginx))
    outside.check("curl", "-sf", "--retry", "20", "--retry-connrefused", f"http://{HERE}:8080/")
    try:
        yield Servers(outside, descendants(engine.init("bench-nginx"))[0])
    finally:
        seconds(engine.argv("rm", "-f", "bench-iperf", "bench-nginx"))
        seconds(engine.argv("rmi", IMAGE))


def gigabyte(servers: Servers) -> float:
    """Milliseconds for a gigabyte over one connection."""
    out = servers.outside.check("iperf3", "-c", HERE, "-t", str(SECONDS), "-J")
    return 8e12 / float(json.loads(out)["end"]["sum_received"]["bits_per_second"])


def _connect(servers: Servers) -> tuple[int, float]:
    """Connections with one request each, several at a time: how many, and how many a second."""
    out = servers.outside.check("wrk", "-t1", f"-c{CONNECTIONS}", "-d1", "-H", "Connection: close",
                                f"http://{HERE}:8080/")  # fmt: skip
    count, rate = re.search(r"(\d+) requests in", out), re.search(r"Requests/sec: +([\d.]+)", out)
    assert count is not None and rate is not None and "Socket errors" not in out, out
    return int(count[1]), float(rate[1])


def connection(servers: Servers) -> float:
    """Microseconds for a connection."""
    return 1e6 / _connect(servers)[1]


def effort(servers: Servers) -> float:
    """Microseconds of processor time for a connection: of both ends, in whose time the kernel passes the packets on."""

    def used() -> float:
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        return processor([servers.worker]) + client.ru_utime + client.ru_stime

    before = used()
    count, _ = _connect(servers)
    return 1e6 * (used() - before) / count


_QUESTION = """
import socket, time
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(10)
asking.connect(("127.0.0.11", 53))
question = bytes(2) + b"\\1\\0\\0\\1" + bytes(6) + b"\\x0cbench-name-3" + b"\\0\\0\\1\\0\\1"
def ask(number):
    asking.send(number.to_bytes(2, "big") + question[2:])
def answered():
    answer = asking.recv(512)
    assert answer[7] == 1, answer
    return int.from_bytes(answer[:2], "big")
"""
_IN_TURN = """
for number in range(QUESTIONS):
    ask(number)
    assert answered() == number
"""
_BY_THE_CLOCK = """
import threading
def all_asked():
    for number in range(QUESTIONS):
        time.sleep(max(0, began + number * ASKERS / RATE - time.monotonic()))
        ask(number)
began = time.monotonic()
threading.Thread(target=all_asked).start()
assert {answered() for _ in range(QUESTIONS)} == set(range(QUESTIONS))
print(time.monotonic() - began)
"""


def _script(*parts: str) -> list[str]:
    text = "".join(parts)
    for name, number in (("QUESTIONS", QUESTIONS), ("ASKERS", ASKERS), ("RATE", RATE)):
        text = text.replace(name, str(number))
    return [sys.executable, "-I", "-S", "-c", text]


def _asking(sampan: Sampan, dockerd: Dockerd, script: list[str], measure: Callable[[Engine, list[list[str]]], float],
            rounds: int) -> dict[str, float]:  # fmt: skip
    """What `measure` says of the script run in ten containers of one network at once."""
    engines: tuple[Engine, ...] = (sampan, dockerd)
    names = [f"bench-name-{number}" for number in range(ASKERS)]
    calls = {}
    for engine in engines:
        seconds(engine.argv("network", "create", "bench-names"))
        for name in names:
            seconds(engine.argv("run", "-d", "--name", name, "--network", "bench-names", "busybox", "sleep", "3600"))
        inside = [f"--net=/proc/{engine.init(name)}/ns/net" for name in names]
        calls[engine.name] = partial(measure, engine, [["nsenter", netns, "--", *script] for netns in inside])
    taken = interleaved(calls, rounds)
    for engine in engines:
        seconds(engine.argv("rm", "-f", *names))
        seconds(engine.argv("network", "rm", "bench-names"))
    return taken


def questions(sampan: Sampan, dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Microseconds for a question of a container's name, of ten containers that all ask one after the other."""

    def measure(engine: Engine, argvs: list[list[str]]) -> float:
        return 1e6 * together(argvs) / (ASKERS * QUESTIONS)

    return _asking(sampan, dockerd, _script(_QUESTION, _IN_TURN), measure, rounds)


def paced_questions(sampan: Sampan, dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Seconds until all are answered that ten containers ask by the clock, 2,000 a second; one that is lost fails."""

    def measure(_: Engine, argvs: list[list[str]]) -> float:
        asking = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for argv in argvs]
        return max([float(one.communicate()[0]) for one in asking])

    return _asking(sampan, dockerd, _script(_QUESTION, _BY_THE_CLOCK), measure, rounds)


def question_effort(sampan: Sampan, dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Microseconds of the daemon's processor time for a question."""

    def measure(engine: Engine, argvs: list[list[str]]) -> float:
        before = processor(engine.daemons()[:1])
        together(argvs)
        return 1e6 * (processor(engine.daemons()[:1]) - before) / (ASKERS * QUESTIONS)

    return _asking(sampan, dockerd, _script(_QUESTION, _BY_THE_CLOCK), measure, rounds)


@contextmanager
def _both(sampan: Sampan, dockerd: Dockerd) -> Iterator[dict[str, Servers]]:
    """Servers on both engines, each with a host of its own that reaches it over a cable."""
    neighbour = Host()
    connect(dockerd.peer.host, neighbour)
    with _servers(sampan, sampan.daemon.outside) as ours, _servers(dockerd, neighbour) as theirs:
        yield {sampan.name: ours, dockerd.name: theirs}
    neighbour.close()


def through_ports(
    sampan: Sampan, dockerd: Dockerd, rounds: int, measure: Callable[[Servers], float]
) -> dict[str, float]:
    """The median of `gigabyte`, `connection` or `effort` for each engine."""
    with _both(sampan, dockerd) as servers:
        return interleaved({name: partial(measure, one) for name, one in servers.items()}, rounds)


def wall(engine: Engine) -> float:
    """A clock for `publishing`: the time that passes."""
    return time.perf_counter()


def daemon_time(engine: Engine) -> float:
    """A clock for `publishing`: the daemon's processor time."""
    return processor(engine.daemons()[:1])


def publishing(sampan: Sampan, dockerd: Dockerd, rounds: int, clock: Callable[[Engine], float]) -> dict[str, float]:
    """Milliseconds that each of many published ports adds to a container's start."""

    def started(engine: Engine, name: str) -> float:
        began = clock(engine)
        seconds(engine.argv("start", name))
        took = clock(engine) - began
        seconds(engine.argv("kill", name))
        seconds(engine.argv("wait", name))
        return 1000 * took

    engines: tuple[Engine, ...] = (sampan, dockerd)
    calls = {}
    for engine in engines:
        many = PORTS[engine.name]
        flags = {"bench-plain": [], "bench-ports": ["-p", f"20000-{19999 + many}:1-{many}"]}
        for name, given in flags.items():
            seconds(engine.argv("create", "--name", name, *given, "busybox", "sleep", "3600"))
            calls[f"{engine.name} {name}"] = partial(started, engine, name)
    taken = interleaved(calls, rounds)
    for engine in engines:
        seconds(engine.argv("rm", "-f", "bench-plain", "bench-ports"))
    return {name: (taken[f"{name} bench-ports"] - taken[f"{name} bench-plain"]) / many for name, many in PORTS.items()}
