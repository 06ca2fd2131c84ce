"""prctl(2)."""

from __future__ import annotations

from . import cdata
from .libc import check, libc, locked_libc

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

_prctl = locked_libc.prctl
_SUBREAPER = (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
_PDEATHSIG = (PR_SET_PDEATHSIG, 9, 0, 0, 0)
"""Made ready before any fork: a call through `prctl` un-shares 280 KB of a shim, this one 4."""


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """prctl(2) with whole numbers."""
    rest = (cdata.c_ulong(value) for value in (arg2, arg3, arg4, arg5))
    return check(libc.prctl(option, *rest), f"prctl {option}")


def set_name(name: str) -> None:
    """PR_SET_NAME: what `ps -o comm` shows, 15 bytes."""
    check(libc.prctl(PR_SET_NAME, cdata.c_char_p(name.encode()[:15]), 0, 0, 0), "prctl")


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may ptrace and look into /proc/<pid>; fork inherits it, execve resets it."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def set_no_new_privs() -> None:
    """No execve from here on grants privileges."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_child_subreaper() -> None:
    """Orphaned descendants become this process's children."""
    check(_prctl(*_SUBREAPER), "prctl")


def end_with_parent() -> None:
    """This process is killed when its parent ends, of which it was forked just now."""
    check(_prctl(*_PDEATHSIG), "prctl")
