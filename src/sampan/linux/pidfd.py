"""Processes by pidfd: a number that is used again can never be hit."""

from __future__ import annotations

import os
import select

from . import signals


def send_signal(pidfd: int, signo: int) -> None:
    """pidfd_send_signal(2)."""
    signals.send(pidfd, signo)


def has_exited(pidfd: int, timeout_ms: int = 0) -> bool:
    """Whether the process has ended, after waiting for it at most `timeout_ms` (-1: for ever)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_ms))


def wait(pidfd: int) -> int:
    """Reap a child: its exit status as a shell has it, 128 + n for a signal."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert result is not None  # only WNOHANG gives None
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def wait_pid(pid: int) -> int:
    """As `wait`, by number."""
    _, status = os.waitpid(pid, 0)
    return exit_status(status)


def exit_status(status: int) -> int:
    """A shell's exit status from a wait status."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
