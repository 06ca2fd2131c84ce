"""Our client on a terminal: raw mode, size, detach keys, signals, and streams that are byte-exact."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator

import pytest

from ..support.daemon import BIN, Daemon, wait_readable

SAMPAN = str(BIN / "sampan")


class Terminal:
    """A command under a pseudo-terminal."""

    def __init__(self, daemon: Daemon, *args: str, rows: int = 33, columns: int = 101) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = daemon.popen(
            [SAMPAN, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: bytes) -> None:
        while text not in self.seen:
            wait_readable(self.master)
            self.seen += os.read(self.master, 4096)
        self.seen = self.seen.partition(text)[2]

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(daemon: Daemon) -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def make(*args: str) -> Terminal:
        made.append(Terminal(daemon, *args))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_run_follows_the_terminal(daemon: Daemon, name: str, terminal: Callable[..., Terminal]) -> None:
    shell = terminal("run", "-it", "--name", name, "busybox", "sh")
    shell.expect(b"# ")
    shell.type(b"stty size\n")
    shell.expect(b"33 101")
    shell.resize(40, 120)
    shell.process.send_signal(signal.SIGWINCH)
    shell.type(b"while [ \"$(stty size)\" != '40 120' ]; do :; done; echo re''sized\n")
    shell.expect(b"resized")
    shell.type(b"exit 5\n")
    assert shell.process.wait(30) == 5
    daemon.ok("rm", name)


def test_detach_keys_leave_the_container_running(daemon: Daemon, name: str, terminal: Callable[..., Terminal]) -> None:
    shell = terminal("run", "-it", "--name", name, "busybox", "sh")
    shell.expect(b"# ")
    shell.type(b"\x10\x11")
    assert shell.process.wait(30) == 0
    assert daemon.ok("inspect", "-f", "{{.State.Running}}", name) == "true"
    again = terminal("attach", "--detach-keys", "x,y", name)
    again.type(b"echo a''b\n")
    again.expect(b"ab")
    again.type(b"xy")
    again.expect(b"read escape sequence")
    assert again.process.wait(30) == 0
    daemon.ok("rm", "-f", name)


def test_exec_on_a_terminal(daemon: Daemon, name: str, terminal: Callable[..., Terminal]) -> None:
    daemon.ok("run", "-d", "--name", name, "busybox", "sleep", "300")
    shell = terminal("exec", "-it", name, "sh", "-c", "stty size; read line; echo got-$line; exit 4")
    shell.expect(b"33 101")
    shell.type(b"word\n")
    shell.expect(b"got-word")
    assert shell.process.wait(30) == 4
    daemon.ok("rm", "-f", name)


def test_exec_has_its_size_from_the_start(daemon: Daemon, name: str, terminal: Callable[..., Terminal]) -> None:
    daemon.ok("run", "-d", "--name", name, "busybox", "sleep", "300")
    for _ in range(10):  # a size that is set once the program runs is often too late
        shell = terminal("exec", "-it", name, "stty", "size")
        shell.expect(b"33 101")
        assert shell.process.wait(30) == 0
    daemon.ok("rm", "-f", name)


def test_tty_needs_a_terminal(daemon: Daemon) -> None:
    done = daemon.sampan("run", "--rm", "-it", "busybox", "true", stdin=b"")
    assert (done.status, done.err) == (1, "the input device is not a TTY\n")


def test_signals_reach_the_process(daemon: Daemon, name: str) -> None:
    script = "trap 'echo usr1; exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    process = daemon.popen([SAMPAN, "run", "--name", name, "busybox", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.read() == b"usr1\n"
    assert process.wait(30) == 9
    process.stdout.close()
    daemon.ok("rm", name)


def test_streams_are_byte_exact(daemon: Daemon) -> None:
    data = os.urandom(1 << 20) * 16
    process = daemon.popen(
        [SAMPAN, "run", "-i", "--rm", "busybox", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, _ = process.communicate(data, timeout=60)
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
    assert process.returncode == 0


def test_cidfile_and_env_file(daemon: Daemon, name: str) -> None:
    cidfile, envfile = daemon.directory / f"{name}.cid", daemon.directory / f"{name}.env"
    envfile.write_text("# note\nA=from file\nB\n")
    argv = [
        "run",
        "--cidfile",
        str(cidfile),
        "--env-file",
        str(envfile),
        "--name",
        name,
        "busybox",
        "sh",
        "-c",
        "echo $A",
    ]
    assert daemon.sampan(*argv).out == "from file\n"
    assert cidfile.read_text() == daemon.ok("inspect", "-f", "{{.Id}}", name)
    again = daemon.sampan(*argv)
    assert again.status == 125
    assert "container ID file found" in again.err
    daemon.ok("rm", name)
