"""A host's address without waiting for it: getaddrinfo(3) in a child, for a shim forks and has no threads."""

from __future__ import annotations

import os
import signal
import socket

from sampan.linux import fds

_SIZE = 256


class Lookup:
    """Under way from the beginning. `address` is the answer once it is `done`, empty where there is none."""

    def __init__(self, host: str, kind: int) -> None:
        self._fd, theirs = os.pipe()
        os.set_blocking(self._fd, False)
        pid = os.fork()
        if pid == 0:
            _answer(theirs, host, kind)
        os.close(theirs)
        self._pidfd = os.pidfd_open(pid)  # the shim's loop reaps it too: its pid may be another's by the end
        self.done, self.address = False, ""

    def fileno(self) -> int:
        """Readable when there is an answer."""
        return self._fd

    def read(self) -> None:
        """Take the answer if there is one."""
        try:
            self.address, self.done = os.read(self._fd, _SIZE).decode(), True
        except BlockingIOError:
            return

    def give_up(self) -> None:
        """There will be no answer."""
        self.done = True

    def close(self) -> None:
        """Once nobody watches the fd any more."""
        os.close(self._fd)
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except (ProcessLookupError, ChildProcessError):
            pass  # reaped
        os.close(self._pidfd)


def _answer(fd: int, host: str, kind: int) -> None:
    try:
        signal.set_wakeup_fd(-1)  # a signal must not write into whatever gets that number
        fds.close_from(3, [fd])  # the daemon and clients wait for the ends of their connections
        found = socket.getaddrinfo(host, None, type=kind)[0][4][0]
        os.write(fd, str(found).encode())
    except OSError:
        pass  # no answer says so
    finally:
        os._exit(0)
