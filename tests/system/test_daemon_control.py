"""The daemon as its operator sees it: signals, reload, socket activation, several side by side, what outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ..support.daemon import BIN, Daemon

MakeDaemon = Callable[..., Daemon]


def test_a_stop_leaves_containers_and_no_files(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    container = daemon.ok("run", "-d", "--network", "none", "busybox", "sh", "-c", "echo before; sleep 999")
    waiting = daemon.popen(["docker", "wait", container], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pid = int(daemon.ok("inspect", "-f", "{{.State.Pid}}", container))
    assert daemon.stop() == 0
    assert waiting.wait(20) != 0
    waiting.communicate()
    assert not Path(daemon.socket).exists()
    assert not (daemon.directory / "pid").exists()
    os.kill(pid, 0)
    daemon.start()
    assert daemon.ok("ps", "-q", "--no-trunc") == container
    assert daemon.ok("exec", container, "echo", "still") == "still"
    assert daemon.ok("logs", container) == "before"
    daemon.kill()
    os.kill(pid, 0)
    daemon.start()  # a stale socket and pid file are no obstacle
    assert daemon.ok("inspect", "-f", "{{.State.Pid}}", container) == str(pid)


def test_reload_and_mistakes_in_it(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(config='{"labels": ["a=b"]}', busybox=False)
    watch = daemon.popen(
        # since: the reload may come before the watch is heard
        ["docker", "events", "--since", "1m", "--filter", "type=daemon", "--format", "{{.Action}}"],
        stdout=subprocess.PIPE,
    )
    assert watch.stdout is not None
    info = ["info", "--format", "{{json .Labels}} {{json .RegistryConfig.Mirrors}} {{.Debug}}"]
    assert daemon.ok(*info) == '["a=b"] [] false'
    daemon.config.write_text('{"labels": ["c=d"], "registry-mirrors": ["https://mirror.example/"], "debug": true}')
    daemon.signal(signal.SIGHUP)
    assert watch.stdout.readline() == b"reload\n"
    assert daemon.ok(*info) == '["c=d"] ["https://mirror.example/"] true'
    daemon.config.write_text('{"nosuch": 1}')
    daemon.signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while "don't match any configuration option: nosuch" not in daemon.log:
        assert time.monotonic() < deadline
        time.sleep(0.02)  # a refused reload publishes nothing but its line in the log
    daemon.config.write_text('{"labels": ["e=f"]}')
    daemon.signal(signal.SIGHUP)
    assert watch.stdout.readline() == b"reload\n"
    assert daemon.ok(*info).startswith('["e=f"]')
    watch.kill()
    watch.communicate()


def test_an_old_client_is_turned_away(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(config='{"min-api-version": "1.40", "init-path": "/x"}', busybox=False)
    assert daemon.ok("version", "-f", "{{.Server.MinAPIVersion}}") == "1.40"
    answer = daemon.run("curl", "-s", "--unix-socket", daemon.socket, "http://d/v1.39/info").out
    assert answer.startswith("client version 1.39 is too old. Minimum supported API version is 1.40")
    assert "init-path has no effect: the init is our own" in daemon.log


def test_several_daemons_on_one_host(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    first = make_daemon()
    second = Daemon("--bridge", "other0", "--bip", "172.29.0.1/24")
    own_host, second.host = second.host, first.host
    second.start()
    try:
        second.load_busybox()
        first.ok("run", "-d", "--name", "same", "busybox", "sleep", "99")
        second.ok("run", "-d", "--name", "same", "busybox", "sleep", "99")
        assert second.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "same").startswith("172.29.0.")
        assert len(first.ok("ps", "-q").split()) == len(second.ok("ps", "-q").split()) == 1
        taken = first.host.run(*first.argv())
        assert taken.status == 1
        assert "is still running" in taken.err
        second.remove_all()
    finally:
        second.stop()
        own_host.close()
        second.outside.close()


def test_socket_activation(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{tmp_path}/s")
    listening.listen()
    daemon = Daemon()
    argv = [
        str(BIN / "sampand"),
        "-H",
        "fd://",
        "--data-root",
        str(daemon.data_root),
        "--exec-root",
        str(daemon.exec_root),
    ]
    argv += ["--pidfile", f"{tmp_path}/pid", "--config-file", str(daemon.config), "--bridge", "none"]
    # sd_listen_fds(3): the descriptors begin at 3, and LISTEN_PID is the service's own.
    script = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    command = daemon.host.command("bash", "-c", script, "bash", str(listening.fileno()), *argv)
    with open(f"{tmp_path}/log", "wb") as log:
        process = subprocess.Popen(command, pass_fds=[listening.fileno()], stderr=log)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(f"{tmp_path}/s")
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK"), Path(f"{tmp_path}/log").read_text()
    finally:
        process.terminate()
        assert process.wait(20) == 0
        listening.close()
        daemon.host.close()
        daemon.outside.close()


def test_memory_of_an_idle_daemon(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(busybox=False)
    json.loads(daemon.ok("info", "--format", "json"))
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    proportional = 0
    for pid in [str(daemon.pid), *children]:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        proportional += int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
    assert proportional < 60 << 10, f"{proportional} KiB"


def test_metrics(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("--metrics-addr", "127.0.0.1:9323")
    daemon.ok("run", "-d", "--name", "watched", "busybox", "sleep", "99")
    figures = daemon.host.check("curl", "-sf", "http://127.0.0.1:9323/metrics")
    assert 'engine_daemon_container_states_containers{state="running"} 1\n' in figures
    assert 'name="watched"} 1\n' in next(line + "\n" for line in figures.splitlines() if "container_processes{" in line)
    assert figures == "".join(line + "\n" for line in figures.splitlines())
    assert daemon.host.run("curl", "-sf", "http://127.0.0.1:9323/containers/json").status == 22
