"""The process title, as `ps` shows it."""

from __future__ import annotations

import os

_ARG_START, _ARG_END, _ENV_END = 45, 46, 48  # fields of proc_pid_stat(5), less the three up to the state
_region: tuple[int, int, int] | None = None


def find_region() -> tuple[int, int, int]:
    """(start of argv, its end, end of the environment) in memory; forked children have them alike."""
    global _region
    if _region is None:
        fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(fd, 4096).rpartition(b") ")[2].split()
        finally:
            os.close(fd)
        _region = int(fields[_ARG_START]), int(fields[_ARG_END]), int(fields[_ENV_END])
    return _region


def set_title(title: bytes, pid: int | str = "self") -> None:
    """Overwrite argv, of this process or of one that was forked alike, and the environment behind it if need be.

    PR_SET_MM_ARG_START would need CAP_SYS_RESOURCE. /proc/<pid>/cmdline runs on into the environment when argv's last
    byte is not 0 (the kernel's get_mm_cmdline supports setproctitle).
    """
    if pid == "self":
        _write("/proc/self/comm", title.partition(b" ")[0], None)
    start, arg_end, env_end = find_region()
    room = env_end - start
    if room > 1:
        text = title[: room - 1]
        _write(f"/proc/{pid}/mem", text + bytes(max(arg_end - start, len(text) + 1) - len(text)), start)


def _write(path: str, data: bytes, offset: int | None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if offset is not None:
            os.lseek(fd, offset, os.SEEK_SET)
        os.write(fd, data)
    finally:
        os.close(fd)
