"""Signals without `signal`, whose enumerations cost 3 ms to import; `_signal` is the C module below it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has no stubs for it

SIGINT = 2
SIGKILL = 9
SIGPIPE = 13
SIGTERM = 15
SIGCHLD = 17
SIGCONT = 18
SIGTTIN = 21
SIGTTOU = 22
SIGXFSZ = 25

_ALL = [number for number in range(1, _signal.NSIG) if number not in (32, 33)]  # those two are glibc's own


def reset() -> None:
    """Give back what the interpreter took (it ignores SIGPIPE and SIGXFSZ) and unblock all: execve keeps both."""
    for number in (SIGPIPE, SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])


def block_all() -> None:
    """Keep every signal pending, for `wait_any`."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _ALL)


def wait_any() -> int:
    """Wait for the next signal, all being blocked (sigwait(3))."""
    return int(_signal.sigwait(_ALL))


def handle_by_default(number: int) -> None:
    """SIG_DFL for one signal."""
    _signal.signal(number, _signal.SIG_DFL)


def send(pidfd: int, signo: int) -> None:
    """pidfd_send_signal(2)."""
    _signal.pidfd_send_signal(pidfd, signo)
