"""The process title, as `ps` shows it."""

from __future__ import annotations

import os

from sampan.linux import prctl

_ARG_START, _ENV_END = 47, 50  # fields of /proc/self/stat, counted from 0 (proc_pid_stat(5): 48 and 51)


def set_title(title: str) -> None:
    """Overwrite argv and, where that is too short, the environment behind it.

    PR_SET_MM_ARG_START would need CAP_SYS_RESOURCE. /proc/<pid>/cmdline runs on into the environment when argv's last
    byte is not 0 (the kernel's get_mm_cmdline supports setproctitle).
    """
    prctl.set_name(title.partition(" ")[0])
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b") ")[2].split()
    start, arg_end, env_end = (int(fields[index - 2]) for index in (_ARG_START, _ARG_START + 1, _ENV_END))
    room = env_end - start
    if room <= 1:
        return
    text = title.encode()[: room - 1]
    padding = max(arg_end - start, len(text) + 1) - len(text)
    fd = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, text + bytes(padding), start)
    finally:
        os.close(fd)
