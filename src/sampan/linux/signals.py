"""Signals without `signal`, whose enumerations cost 3 ms to import; `_signal` is the C module below it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has no stubs for it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SIGINT = 2
SIGKILL = 9
SIGPIPE = 13
SIGTERM = 15
SIGCHLD = 17
SIGSTOP = 19
SIGTTIN = 21
SIGTTOU = 22
SIGURG = 23
SIGXFSZ = 25
SIGWINCH = 28

_ALL = [number for number in range(1, _signal.NSIG) if number not in (32, 33)]  # those two are glibc's own


NAMES = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17, "CONT": 18,
    "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27,
    "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
} | {f"RTMIN+{n}": 34 + n for n in range(1, 16)} | {f"RTMAX-{n}": 64 - n for n in range(1, 15)}  # fmt: skip
"""Without SIG; signal(7), the numbers of x86 and arm."""


def number(word: str) -> int:
    """A signal from `TERM`, `SIGTERM`, `sigterm` or `15`; ValueError for no signal."""
    if word.isascii() and word.isdigit() and len(word) < 5 and int(word) <= 64:
        return int(word)
    name = word.upper().removeprefix("SIG")
    if name not in NAMES:
        raise ValueError(f"unknown signal {word!r}")
    return NAMES[name]


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


def handle(number: int, handler: Callable[[int, object], None]) -> None:
    """Call `handler` with the number and the frame when a signal comes."""
    _signal.signal(number, handler)


def send(pidfd: int, signo: int) -> None:
    """pidfd_send_signal(2)."""
    _signal.pidfd_send_signal(pidfd, signo)
