"""`docker run` and what goes with it, by the stock client."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from ..support.daemon import Daemon
from ..support.terminal import Terminal


def test_run_shows_the_output_and_gives_the_exit_status(daemon: Daemon, name: str) -> None:
    result = daemon.docker("run", "--rm", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.status, result.out, result.err) == (7, "out\n", "err\n")
    assert not daemon.ok("ps", "-aq", "--filter", f"name={name}")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["busybox", "nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["busybox", "/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["--pull", "never", "nosuch"], 125, "Error response from daemon: No such image: nosuch:latest"),
        (["--nosuch"], 125, "unknown flag: --nosuch"),
        (["--memory", "1k", "busybox"], 125, "Minimum memory limit allowed is 6MB"),
        (["busybox", "sh", "-c", "sleep 99 & kill -9 $!; wait $!"], 137, ""),
    ],
)
def test_exit_statuses(daemon: Daemon, arguments: list[str], status: int, text: str) -> None:
    result = daemon.docker("run", "--rm", "--network", "none", *arguments)
    assert result.status == status, result
    assert text in result.err


def test_a_published_port_reaches_the_container(daemon: Daemon, name: str) -> None:
    script = "echo ready; nc -l -p 80 -e echo served"
    daemon.ok("run", "-d", "--name", name, "-p", "127.0.0.1::80", "-p", "8080:80", "busybox", "sh", "-c", script)
    try:
        host_port = daemon.ok("port", name, "80/tcp").splitlines()
        assert {line.rsplit(":", 1)[0] for line in host_port} == {"127.0.0.1", "0.0.0.0", "[::]"}
        assert "8080->80/tcp" in daemon.ok("ps", "--filter", f"name={name}", "--format", "{{.Ports}}")
        follow = daemon.popen(["docker", "logs", "-f", name], stdout=subprocess.PIPE)
        assert follow.stdout is not None
        assert follow.stdout.readline() == b"ready\n"
        assert daemon.outside.check("busybox", "nc", "-w", "5", "10.99.0.1", "8080") == "served\n"
        assert follow.wait(20) == 0
        follow.stdout.close()
    finally:
        daemon.ok("rm", "-f", name)


def test_a_terminal_with_its_size(daemon: Daemon) -> None:
    argv = ["docker", "run", "--rm", "-it", "--network", "none", "busybox", "sh"]
    with Terminal(argv, daemon.environment(), rows=31, columns=101) as terminal:
        terminal.expect("# ")
        terminal.type("stty size; tty\n")
        terminal.expect("31 101\r\n")
        terminal.expect("/dev/pts/0\r\n")
        terminal.resize(20, 55)
        # The client tells the new size beside the stream: it is there a moment later.
        terminal.type("until stty size | grep '20 55'; do usleep 20000; done; exit 3\n")
        terminal.expect("\n20 55\r\n")
        assert terminal.finish() == 3


def test_a_terminal_with_an_init(daemon: Daemon) -> None:
    argv = ["docker", "run", "--rm", "-it", "--init", "--network", "none", "busybox", "sh"]
    with Terminal(argv, daemon.environment()) as terminal:
        terminal.expect("# ")
        terminal.type("sleep 999 &\n")
        terminal.expect("# ")
        terminal.type("fg\n")  # job control
        terminal.expect("sleep 999\r\n")
        terminal.type("\x03")
        terminal.expect("# ")
        terminal.type("exit 4\n")
        assert terminal.finish() == 4


def test_hundred_megabytes_through_standard_input_and_back(daemon: Daemon, tmp_path: Path) -> None:
    data, block = hashlib.sha256(), os.urandom(1 << 20)
    path = tmp_path / "data"
    with path.open("wb") as file:
        for number in range(100):
            part = block[number:] + block[:number]
            file.write(part)
            data.update(part)
    with path.open("rb") as file:
        client = daemon.popen(
            ["docker", "run", "--rm", "-i", "--network", "none", "busybox", "cat"], stdin=file, stdout=subprocess.PIPE
        )
        assert client.stdout is not None
        received = hashlib.file_digest(client.stdout, "sha256")
        assert client.wait(30) == 0
        client.stdout.close()
    assert received.hexdigest() == data.hexdigest()


def test_exec_in_every_manner(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000")
    try:
        result = daemon.docker(
            "exec", "-e", "A=b", "-w", "/tmp", name, "sh", "-c", "echo $A; pwd; echo err >&2; exit 5"
        )
        assert (result.status, result.out, result.err) == (5, "b\n/tmp\n", "err\n")
        assert daemon.ok("exec", "-i", name, "cat", stdin=b"through").strip() == "through"
        assert daemon.docker("exec", name, "nosuch").status == 127
        assert 'exec: "nosuch": executable file not found' in daemon.docker("exec", name, "nosuch").out
        daemon.ok("exec", "-d", name, "sh", "-c", "mkfifo /tmp/f; cat /tmp/f")
        with Terminal(["docker", "exec", "-it", name, "sh"], daemon.environment(), rows=22, columns=66) as terminal:
            terminal.expect("# ")
            terminal.type("stty size; exit 4\n")
            terminal.expect("22 66\r\n")
            assert terminal.finish() == 4
        result = daemon.docker("exec", "nosuch", "true")
        assert (result.status, "No such container: nosuch" in result.err) == (1, True)
    finally:
        daemon.ok("rm", "-f", name)
    assert "is not running" in daemon.docker("exec", daemon.ok("create", "--rm", "busybox"), "true").err


def test_attach_detach_and_start_again(daemon: Daemon, name: str) -> None:
    environment = daemon.environment()
    run = ["docker", "run", "-it", "--name", name, "--network", "none", "busybox", "sh"]
    try:
        with Terminal(run, environment) as terminal:
            terminal.expect("# ")
            terminal.type("echo $((40+2))\n")
            terminal.expect("42\r\n")
            terminal.type("\x10\x11")
            assert terminal.finish() in (0, 1)  # 28.2 says «read escape sequence» and exits with 0, older ones with 1
        assert daemon.ok("inspect", "-f", "{{.State.Running}}", name) == "true"
        with Terminal(["docker", "attach", "--detach-keys", "a,b", name], environment) as terminal:
            terminal.type("echo $((50+5))\n")
            terminal.expect("55\r\n")
            terminal.type("ab")
            terminal.finish()
        assert daemon.ok("inspect", "-f", "{{.State.Running}}", name) == "true"
        with Terminal(["docker", "attach", name], environment) as terminal:
            terminal.type("exit 9\n")
            assert terminal.finish() == 9
        with Terminal(["docker", "start", "-ai", name], environment) as terminal:
            terminal.expect("# ")
            terminal.type("exit 8\n")
            assert terminal.finish() == 8
        assert daemon.docker("start", "-a", "nosuch").status == 1
    finally:
        daemon.ok("rm", "-f", name)


def test_an_interrupt_reaches_the_container(daemon: Daemon, name: str) -> None:
    script = "trap 'echo caught; exit 33' INT; echo ready; while :; do sleep 0.05; done"
    client = daemon.popen(
        ["docker", "run", "--rm", "--name", name, "--network", "none", "busybox", "sh", "-c", script],
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(2)
    assert client.stdout.readline() == b"caught\n"
    assert client.wait(20) == 33
    client.stdout.close()


def test_a_client_that_goes_away_leaves_the_container_alone(daemon: Daemon, name: str) -> None:
    client = daemon.popen(
        ["docker", "run", "--name", name, "--network", "none", "busybox", "sh", "-c", "echo ready; sleep 1000"],
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.wait()
    client.stdout.close()
    assert daemon.ok("inspect", "-f", "{{.State.Status}}", name) == "running"
    daemon.ok("rm", "-f", name)


def test_working_directories_of_an_exec(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    failed = "OCI runtime exec failed: exec failed: "
    for directory, status, text in (
        ("/missing", 127, 'unable to start container process: chdir to cwd ("/missing") set in config.json failed: '
         "no such file or directory"),
        ("/etc/hostname", 127, 'unable to start container process: chdir to cwd ("/etc/hostname") set in config.json '
         "failed: not a directory: Are you trying to mount a directory onto a file (or vice-versa)? Check if the "
         "specified host path exists and is the expected type"),
        ("relative", 128, "Cwd must be an absolute path"),
    ):  # fmt: skip
        done = daemon.docker("exec", "-w", directory, name, "true")
        assert (done.status, (done.out + done.err).strip()) == (status, failed + text)
    refused = daemon.docker("exec", "-d", "-w", "/missing", name, "true")
    assert refused.status == 1 and refused.err.startswith(f"Error response from daemon: {failed}")
    daemon.ok("rm", "-f", name)
