"""What the stock client's builds through buildx ask of this engine beyond what can be seen on both engines alike."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...support.certificates import make_certificates
from ...support.daemon import Daemon
from ...support.registries import docker_registry_on, needs_docker_registry
from ...support.stockclient import StockClient, write
from ...support.waiting import until

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("buildx-peer")]

PLAIN = ("--progress", "plain")
HTPASSWD = "ann:$2y$05$lFyjXFjRNuX0W/tAGgH2x.6uct8EBDiD/tRcYQGbCtspeUpCVJ6BC\n"  # bcrypt of «secret»


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    made = Daemon().start()
    made.load_busybox()
    yield made
    made.close()


@pytest.fixture
def client(daemon: Daemon, tmp_path: Path) -> StockClient:
    return StockClient(daemon.url, tmp_path / "home")


def sent(log: str) -> int:
    """Bytes of the context, as the client was told."""
    found = re.findall(r"transferring context: ([\d.]+)(k?M?B)", log)
    assert found, log
    return max(int(float(number) * {"B": 1, "kB": 1000, "MB": 10**6}[unit]) for number, unit in found)


def test_only_what_changed_travels(client: StockClient, tmp_path: Path) -> None:
    where = tmp_path / "context"
    write(where, {"Dockerfile": "FROM busybox\nCOPY . /c\n", "dir/small": "small", "large": "l" * 3_000_000})
    for path in where.rglob("*"):
        os.utime(path, ns=(10**18 + 1, 10**18 + 1))  # long ago, and no full second

    def build() -> tuple[int, str]:
        done = client.run("build", *PLAIN, "-t", "travels", ".", cwd=where)
        assert done.status == 0, done
        return sent(done.err), client.run("run", "--rm", "travels", "cat", "/c/dir/small").out

    first = build()
    (where / "dir/small").write_text("other")
    second = build()
    assert first[0] > 2_900_000 and second[0] < 10_000
    assert (first[1], second[1]) == ("small", "other")


@needs_docker_registry
def test_credentials_come_from_the_client(daemon: Daemon, client: StockClient, tmp_path: Path) -> None:
    """For the base image, and for the push of what was built."""
    registry = "127.0.0.1:5017"
    (tmp_path / "users").write_text(HTPASSWD)
    write(tmp_path / "c", {"Dockerfile": f"FROM {registry}/private\nRUN echo built > /built\n"})
    auth = {"htpasswd": {"realm": "test", "path": f"{tmp_path}/users"}}
    with docker_registry_on(daemon.host, tmp_path / "registry", registry, auth=auth):
        client.log_in(registry, "ann", "secret")
        client.run("tag", "busybox", f"{registry}/private")
        assert client.run("push", f"{registry}/private").status == 0
        client.run("rmi", f"{registry}/private")
        stranger = StockClient(daemon.url, tmp_path / "stranger")
        refused = stranger.run("build", *PLAIN, ".", cwd=tmp_path / "c")
        assert refused.status == 1 and "no basic auth credentials" in refused.err
        done = client.run("buildx", "build", *PLAIN, "--push", "-t", f"{registry}/built", ".", cwd=tmp_path / "c")
        assert done.status == 0, done
        client.run("rmi", f"{registry}/built", f"{registry}/private")
        assert client.run("run", "--rm", f"{registry}/built", "cat", "/built").out == "built\n"
        client.run("rmi", f"{registry}/built")


@contextmanager
def running(client: StockClient, where: Path, *flags: str) -> Iterator[Callable[[int], None]]:
    """A build whose last step has said that it runs; gives what ends the client by a signal."""
    process = client.popen("build", *PLAIN, *flags, ".", cwd=where)
    assert process.stdout is not None

    def end(number: int) -> None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, children)):  # the plugin is a child of the client's
            os.kill(pid, number)

    try:
        assert any(re.search(r"^#\d+ [\d.]+ running$", line) for line in process.stdout)
        yield end
    finally:
        if process.poll() is None:
            end(signal.SIGKILL)
        process.communicate(timeout=60)


def wait_until_nothing_is_left(daemon: Daemon) -> None:
    def left() -> list[str]:
        places = [daemon.exec_root / "builds", daemon.exec_root / "shims", daemon.data_root / "tmp"]
        return [str(path) for place in places if place.exists() for path in place.iterdir()]

    until(lambda: not left())


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_client_that_ends_ends_its_build(
    daemon: Daemon, client: StockClient, tmp_path: Path, end: signal.Signals
) -> None:
    write(tmp_path / "c", {"Dockerfile": f"FROM busybox\nRUN echo running; : {end.name}; sleep 1000\n"})
    with running(client, tmp_path / "c") as stop:
        stop(end)
        wait_until_nothing_is_left(daemon)


def test_a_daemon_that_ends_ends_its_builds(client: StockClient, daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path / "c", {"Dockerfile": "FROM busybox\nRUN echo running; sleep 1000\n"})
    with running(client, tmp_path / "c"):
        assert daemon.stop() == 0
    daemon.start()
    wait_until_nothing_is_left(daemon)


LIST, NO_KEYS = b"\0\0\0\1\x0b", b"\0\0\0\5\x0c\0\0\0\0"  # SSH_AGENTC_REQUEST_IDENTITIES and its answer


def received(sock: socket.socket, size: int) -> bytes:
    with sock.makefile("rb") as file:
        return file.read(size)


def test_an_agent_of_the_client(daemon: Daemon, client: StockClient, tmp_path: Path) -> None:
    """Each connection of a step's reaches it."""
    step = "RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo running; sleep 1000\n"
    write(tmp_path / "c", {"Dockerfile": f"FROM busybox\n{step}"})
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        agent.settimeout(60)
        with running(client, tmp_path / "c", "--ssh", f"default={tmp_path}/agent"):
            (path,) = (daemon.exec_root / "builds").glob("*/agent")  # what the step has mounted
            for _ in range(2):
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.settimeout(60)
                    asking.connect(str(path))
                    asking.sendall(LIST)
                    answering, _ = agent.accept()
                    with answering:
                        answering.settimeout(60)
                        assert received(answering, len(LIST)) == LIST
                        answering.sendall(NO_KEYS)
                        assert received(asking, len(NO_KEYS)) == NO_KEYS
    wait_until_nothing_is_left(daemon)


def test_over_tls(tmp_path: Path) -> None:
    """What the client sends and what is sent to it, larger than any buffer on the way."""
    make_certificates(tmp_path)
    for name, source in (("cert.pem", "client.pem"), ("key.pem", "client.key")):
        (tmp_path / name).symlink_to(tmp_path / source)
    tls = ["--tlsverify", f"--tlscacert={tmp_path}/ca.pem", f"--tlscert={tmp_path}/server.pem"]
    daemon = Daemon("-H", "tcp://10.99.0.1:2376", *tls, f"--tlskey={tmp_path}/server.key").start()
    client = StockClient("tcp://10.99.0.1:2376", tmp_path / "home", daemon.outside)
    client.environment |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    where = tmp_path / "c"
    write(where, {"Dockerfile": "FROM scratch\nCOPY large /\n"})
    (where / "large").write_bytes(os.urandom(20 << 20))
    done = client.run("buildx", "build", *PLAIN, "-o", "out", ".", cwd=where)
    assert done.status == 0, done
    assert (where / "out/large").read_bytes() == (where / "large").read_bytes()
    daemon.close()


def test_compose_builds_and_runs(client: StockClient, tmp_path: Path) -> None:
    where = tmp_path / f"c{os.getpid()}"
    write(where, {
        "compose.yaml": "services:\n  one: {build: ., command: cat /f, network_mode: none}\n",
        "Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "by compose\n",
    })  # fmt: skip
    for text in ("by compose\n", "by compose again\n"):
        (where / "f").write_text(text)
        done = client.run("compose", "up", "--build", cwd=where)
        assert done.status == 0 and text.strip() in done.out, done
    assert client.run("compose", "down", "--rmi", "all", cwd=where).status == 0
