"""Waiting for a process that runs in the foreground: its terminal, its signals, its status."""

from __future__ import annotations

import os
import select

from ..linux import fds, pidfd, pty, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .launch import Created

_CHUNK = 1 << 16
_NOT_FORWARDED = (signals.SIGKILL, signals.SIGSTOP, signals.SIGCHLD, signals.SIGPIPE, signals.SIGURG)


def forward_signals(created: Created) -> None:
    """Signals go on to the container's process, which decides what they mean; to be called before it starts."""
    for number in signals.NAMES.values():
        if number not in _NOT_FORWARDED:
            signals.handle(number, lambda signo, _frame: _forward(created, signo))


def follow(created: Created) -> int:
    """Pass on what happens here until the process ends; its exit status, 128 + n for a signal."""
    if created.console_fd >= 0:
        return _Terminal(created).follow()
    return pidfd.wait(created.pidfd)


def _forward(created: Created, number: int) -> None:
    try:
        pidfd.send_signal(created.pidfd, number)
    except ProcessLookupError:
        pass  # it has just ended


class _Terminal:
    """Copies between our terminal and the container's."""

    def __init__(self, created: Created) -> None:
        self.created = created
        self.master = created.console_fd
        import termios  # only terminals need it

        self.saved = termios.tcgetattr(0) if os.isatty(0) else None

    def follow(self) -> int:
        if self.saved:
            import tty

            tty.setraw(0)
            self._resize()
            signals.handle(signals.SIGWINCH, lambda _signo, _frame: self._resize())
        try:
            self._copy()
            return pidfd.wait(self.created.pidfd)
        finally:
            if self.saved:
                import termios

                termios.tcsetattr(0, termios.TCSADRAIN, self.saved)

    def _resize(self) -> None:
        pty.resize(self.master, *pty.size(0))

    def _copy(self) -> None:
        poll = select.poll()
        for fd in (self.master, self.created.pidfd, 0):
            poll.register(fd, select.POLLIN)
        ended = False
        while True:
            ready = {fd for fd, _ in poll.poll(0 if ended else None)}
            if 0 in ready and not self._pass_on(0, self.master):
                poll.unregister(0)
            if self.master in ready and not self._pass_on(self.master, 1):
                return
            if self.master not in ready and ended:
                return
            ended = ended or self.created.pidfd in ready

    def _pass_on(self, source: int, target: int) -> bool:
        try:
            data = os.read(source, _CHUNK)
        except OSError:
            return False  # EIO: no process has the terminal open any more (pty(7))
        fds.write_all(target, data)
        return bool(data)
