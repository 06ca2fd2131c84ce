"""System call wrappers on the real kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.linux import fds, namespaces, openat2, pidfd, pty, rlimits


@pytest.fixture
def root(tmp_path: Path) -> int:
    (tmp_path / "root/inside").mkdir(parents=True)
    (tmp_path / "root/inside/file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "root/up").symlink_to("../../../../../../../../../secret")
    (tmp_path / "root/absolute").symlink_to("/inside")
    (tmp_path / "root/dangling").symlink_to("nowhere")
    return os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)


def test_paths_stay_in_their_root(root: int) -> None:
    for name in ("inside/file", "/absolute/file", "../../inside/file"):
        fd = openat2.open_in_root(root, name, os.O_RDONLY)
        assert os.read(fd, 10) == b"inside"
        os.close(fd)
    for name in ("up", "../secret", "nowhere"):
        with pytest.raises(FileNotFoundError):
            openat2.open_in_root(root, name)
    os.close(root)


def test_missing_parts_are_made_inside(root: int) -> None:
    os.close(openat2.make_directories(root, "/absolute/new/deep"))
    os.close(openat2.make_file(root, "absolute/new/file"))
    assert os.stat("inside/new/deep", dir_fd=root) and os.stat("inside/new/file", dir_fd=root).st_size == 0
    with pytest.raises(FileNotFoundError):
        openat2.make_directories(root, "dangling/below")
    os.close(root)


def test_descriptors_travel_and_close() -> None:
    one, other = socket.socketpair()
    fd = fds.memfd("content", b"payload")
    fds.send_fds(one, b"x", [fd, fd])
    data, received = fds.recv_fds(other, 10)
    assert data == b"x" and len(received) == 2 and os.read(received[0], 10) == b"payload"
    assert not os.get_inheritable(received[0])
    for number in (fd, *received):
        os.close(number)
    one.close()
    assert fds.recv_fds(other, 10) == (b"", [])
    other.close()
    script = "import os; from sampan.linux import fds; os.dup2(0, 9); fds.close_from(3, [9]); print(fds.open_fds())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, close_fds=False,
                          stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.stdout == "[0, 1, 2, 9]\n"


def test_a_cloned_child_is_process_one_of_its_namespace() -> None:
    script = (
        "import os; from sampan.linux import namespaces as n, pidfd\n"
        "pid, fd = n.clone(n.CLONE_NEWPID | n.CLONE_NEWNET)\n"
        "if pid == 0: os._exit(40 + os.getpid())\n"
        "print(pidfd.wait(fd))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "41\n"
    assert namespaces.differing(os.getpid()) == 0
    with pytest.raises(ProcessLookupError):
        namespaces.differing(2**22 + 1)


def test_waiting_by_pidfd() -> None:
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "kill -TERM $$"], {})
    fd = os.pidfd_open(child)
    assert pidfd.has_exited(fd, 5000)
    assert pidfd.wait(fd) == 143
    os.close(fd)


def test_terminals() -> None:
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    pty.unlock(master)
    slave = pty.open_slave(master)
    pty.resize(master, 30, 100)
    assert pty.size(slave) == (30, 100) and os.ttyname(slave) == f"/dev/pts/{pty.number(master)}"
    os.close(slave)
    os.close(master)


def test_a_limit_that_may_not_rise_is_an_error() -> None:
    script = (
        "import resource; from sampan.linux import rlimits\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))\n"
        "import os; os.setresuid(65534, 65534, 65534)\n"
        "rlimits.set_rlimit('RLIMIT_NOFILE', 80, 90)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "rlimits.set_rlimit('RLIMIT_NOFILE', 500, 500)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "(80, 90)\n"
    assert "not allowed to raise maximum limit" in done.stderr
    assert "RLIMIT_RTTIME" in rlimits.LIMITS


def test_sealing_makes_the_executable_read_only() -> None:
    script = "import sys; from sampan.linux import sealed; sealed.ensure(); print(sealed.is_sealed(), sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", script, "a", "b"], capture_output=True, text=True, check=True)
    assert done.stdout == "True ['a', 'b']\n"
