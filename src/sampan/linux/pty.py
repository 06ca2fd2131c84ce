"""Pseudo-terminals: pty(7), by fd so that no path inside a container is trusted."""

from __future__ import annotations

import fcntl
import os
from struct import pack, unpack

TIOCGPTN = 0x80045430
TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431
TIOCSCTTY = 0x540E
TIOCGWINSZ = 0x5413
TIOCSWINSZ = 0x5414


def unlock(master: int) -> None:
    """Let the slave side be opened."""
    fcntl.ioctl(master, TIOCSPTLCK, pack("i", 0))


def number(master: int) -> int:
    """The number of the pty: its slave is /dev/pts/<number>."""
    return int(unpack("i", fcntl.ioctl(master, TIOCGPTN, pack("i", 0)))[0])


def open_slave(master: int) -> int:
    """The fd of the slave side, without a path (TIOCGPTPEER, Linux 4.13)."""
    return fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def make_controlling(slave: int) -> None:
    """Make the pty the controlling terminal of this session leader."""
    fcntl.ioctl(slave, TIOCSCTTY, 0)


def resize(fd: int, height: int, width: int) -> None:
    """Set the window's size in characters; the foreground group gets SIGWINCH."""
    fcntl.ioctl(fd, TIOCSWINSZ, pack("HHHH", height, width, 0, 0))


def size(fd: int) -> tuple[int, int]:
    """The window's (height, width) in characters."""
    height, width, _, _ = unpack("HHHH", fcntl.ioctl(fd, TIOCGWINSZ, bytes(8)))
    return height, width
