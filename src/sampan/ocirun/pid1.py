"""The small process 1 of `docker run --init`: passes signals on, reaps orphans, ends with its program's status."""

from __future__ import annotations

import os

from ..linux import pidfd, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_NOT_PASSED_ON = (signals.SIGCHLD, signals.SIGTTIN, signals.SIGTTOU)


def supervise(execute: Callable[[], NoReturn], started: Callable[[], None]) -> NoReturn:
    """Fork a child that runs `execute`, and be its init; `started` is called in this process once it is forked.

    The caller has given up all privileges before: this process has just those of the program.
    """
    signals.block_all()
    child = os.fork()
    if child == 0:
        # The program leads its own process group, in the foreground, so that a shell's job control works. SIGTTOU is
        # still blocked: it would stop a process that takes the foreground from behind (tcsetpgrp(3)).
        os.setpgid(0, 0)
        _foreground(os.getpid())
        signals.reset()
        execute()
    started()
    while True:
        number = signals.wait_any()
        if number == signals.SIGCHLD:
            _reap(child)
        elif number not in _NOT_PASSED_ON:
            try:
                os.kill(child, number)
            except ProcessLookupError:
                continue  # its end is the next signal


def _foreground(group: int) -> None:
    try:
        os.tcsetpgrp(0, group)
    except OSError:
        pass  # stdin is no terminal, or not ours


def _reap(child: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == child:
            os._exit(pidfd.exit_status(status))
