"""Published ports: traffic through them from another host, and what a thousand of them cost."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tests.support.hosts import Host, connect

from .engines import Dockerd, Engine, Sampan
from .measure import interleaved, seconds, together

PROGRAMS = ("/usr/bin/iperf3", "/usr/sbin/nginx")
IMAGE, HERE = "bench-servers", "10.99.0.1"
SECONDS = 3
CONNECTIONS = 16
QUESTIONS = 1000
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


@contextmanager
def _servers(engine: Engine, outside: Host) -> Iterator[Host]:
    """iperf3 on port 5201 and nginx on 8080, published and answering."""
    seconds(engine.argv("import", "-", IMAGE), stdin=_rootfs())
    run = ("run", "-d", "--ulimit", "nofile=8192:8192")
    seconds(engine.argv(*run, "--name", "bench-iperf", "-p", "5201:5201", IMAGE, "/usr/bin/iperf3", "-s"))
    nginx = ("/usr/sbin/nginx", "-c", "/nginx.conf")
    seconds(engine.argv(*run, "--name", "bench-nginx", "-p", "8080:80", IMAGE, *nginx))
    outside.check("curl", "-sf", "--retry", "20", "--retry-connrefused", f"http://{HERE}:8080/")
    try:
        yield outside
    finally:
        seconds(engine.argv("rm", "-f", "bench-iperf", "bench-nginx"))
        seconds(engine.argv("rmi", IMAGE))


def gigabyte(outside: Host) -> float:
    """Milliseconds for a gigabyte over one connection."""
    out = outside.check("iperf3", "-c", HERE, "-t", str(SECONDS), "-J")
    return 8e12 / float(json.loads(out)["end"]["sum_received"]["bits_per_second"])


def connection(outside: Host) -> float:
    """Microseconds for a connection with one request, of several at a time."""
    out = outside.check("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "-H", "Connection: close",
                        f"http://{HERE}:8080/")  # fmt: skip
    found = re.search(r"Requests/sec: +([\d.]+)", out)
    assert found is not None and "Socket errors" not in out, out
    return 1e6 / float(found[1])


_ASK = """
import socket
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(10)
asking.connect(("127.0.0.11", 53))
question = bytes(2) + b"\\1\\0\\0\\1" + bytes(6) + b"\\x0cbench-name-3" + b"\\0\\0\\1\\0\\1"
for number in range(QUESTIONS):
    asking.send(number.to_bytes(2, "big") + question[2:])
    answer = asking.recv(512)
    assert answer[:2] == number.to_bytes(2, "big") and answer[7] == 1, answer
"""


def questions(sampan: Sampan, dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Microseconds for a question of a container's name, of ten containers that all ask one after the other."""
    engines: tuple[Engine, ...] = (sampan, dockerd)
    names = [f"bench-name-{number}" for number in range(10)]
    calls = {}
    for engine in engines:
        seconds(engine.argv("network", "create", "bench-names"))
        for name in names:
            seconds(engine.argv("run", "-d", "--name", name, "--network", "bench-names", "busybox", "sleep", "3600"))
        script = _ASK.replace("QUESTIONS", str(QUESTIONS))
        inside = [f"--net=/proc/{engine.init(name)}/ns/net" for name in names]
        argvs = [["nsenter", netns, "--", sys.executable, "-I", "-S", "-c", script] for netns in inside]
        calls[engine.name] = partial(together, argvs)
    taken = interleaved(calls, rounds)
    for engine in engines:
        seconds(engine.argv("rm", "-f", *names))
        seconds(engine.argv("network", "rm", "bench-names"))
    return {name: 1e6 * took / (len(names) * QUESTIONS) for name, took in taken.items()}


@contextmanager
def _both(sampan: Sampan, dockerd: Dockerd) -> Iterator[dict[str, Host]]:
    """Servers on both engines, each with a host of its own that reaches it over a cable."""
    neighbour = Host()
    connect(dockerd.peer.host, neighbour)
    with _servers(sampan, sampan.daemon.outside) as ours, _servers(dockerd, neighbour) as theirs:
        yield {sampan.name: ours, dockerd.name: theirs}
    neighbour.close()


def through_ports(sampan: Sampan, dockerd: Dockerd, rounds: int, measure: Callable[[Host], float]) -> dict[str, float]:
    """The median of `gigabyte` or `connection` for each engine."""
    with _both(sampan, dockerd) as hosts:
        return interleaved({name: partial(measure, host) for name, host in hosts.items()}, rounds)


def publishing(sampan: Sampan, dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Milliseconds that each of many published ports adds to a container's start."""

    def started(engine: Engine, name: str) -> float:
        took = seconds(engine.argv("start", name))
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
