"""`docker top` from /proc: no program of the container's is run, and none of the host's."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable

from msgspec import Struct

from ..errors import Conflict, InvalidArgument
from . import cgroups, info
from .engine import Engine

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Processes(Struct, frozen=True):
    """Column titles and one row for each process, as ps prints them."""

    titles: list[str]
    rows: list[list[str]]


class Process(Struct, frozen=True):
    """One process, from proc_pid_stat(5) and its neighbours. `stat` starts with the state (field 3)."""

    pid: int
    euid: int
    gid: int
    comm: str
    cmdline: str
    stat: list[str]
    boot: float
    memory_total: int
    now: float

    @property
    def ppid(self) -> int:
        return int(self.stat[1])

    @property
    def cpu_seconds(self) -> float:
        return (int(self.stat[11]) + int(self.stat[12])) / _TICKS

    @property
    def started(self) -> float:
        return self.boot + int(self.stat[19]) / _TICKS

    @property
    def percent_cpu(self) -> float:
        return 100 * self.cpu_seconds / max(self.now - self.started, 1 / _TICKS)

    @property
    def resident(self) -> int:
        return int(self.stat[21]) * _PAGE


def top(engine: Engine, ref: str, ps_args: str = "") -> Processes:
    """The container's processes in ps's columns for `ps_args` (default -ef); Conflict when it does not run."""
    container = engine.containers.get(ref)
    if not container.running:
        raise Conflict(f"container {container.id} is not running")
    columns = parse(ps_args or "-ef")
    boot, memory = _boot_time(), info.memory()
    found = [_read(pid, boot, memory) for pid in sorted(cgroups.of(engine, container).pids())]
    rows = [[COLUMNS[name].show(process) for name, _ in columns] for process in found if process is not None]
    engine.container_event(container, "top")
    return Processes([title for _, title in columns], rows)


class Column(Struct, frozen=True):
    """A ps format specifier (ps(1), STANDARD FORMAT SPECIFIERS)."""

    title: str
    show: Callable[[Process], str]


def _user(process: Process) -> str:
    try:
        return pwd.getpwuid(process.euid).pw_name
    except KeyError:
        return str(process.euid)


def _start_time(process: Process) -> str:
    moment = time.localtime(process.started)
    if process.now - process.started < 86400 and moment.tm_mday == time.localtime(process.now).tm_mday:
        return time.strftime("%H:%M", moment)
    return time.strftime("%b%d" if moment.tm_year == time.localtime(process.now).tm_year else "%Y", moment)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hours:02}:{minutes:02}:{rest:02}"


def _bsd_clock(process: Process) -> str:
    minutes, seconds = divmod(int(process.cpu_seconds), 60)
    return f"{minutes}:{seconds:02}"


def _elapsed(process: Process) -> str:
    text = _clock(process.now - process.started)
    return text.removeprefix("00:")


def _terminal(process: Process) -> str:
    device = int(process.stat[4])
    if device == 0:
        return "?"
    major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
    return f"pts/{minor + (major - 136) * 256}" if 136 <= major <= 143 else f"tty{minor}" if major == 4 else "?"


def _state(process: Process) -> str:
    nice = int(process.stat[16])
    flags = "<" if nice < 0 else "N" if nice > 0 else ""
    flags += "s" if process.stat[3] == str(process.pid) else ""
    flags += "l" if int(process.stat[17]) > 1 else ""
    return process.stat[0] + flags + ("+" if process.stat[5] == process.stat[2] else "")


COLUMNS: dict[str, Column] = {
    "user": Column("USER", _user),
    "uid": Column("UID", _user),
    "uidnumber": Column("UID", lambda process: str(process.euid)),
    "gid": Column("GID", lambda process: str(process.gid)),
    "pid": Column("PID", lambda process: str(process.pid)),
    "ppid": Column("PPID", lambda process: str(process.ppid)),
    "pgid": Column("PGID", lambda process: process.stat[2]),
    "sid": Column("SID", lambda process: process.stat[3]),
    "c": Column("C", lambda process: str(min(99, int(process.percent_cpu)))),
    "%cpu": Column("%CPU", lambda process: f"{process.percent_cpu:.1f}"),
    "%mem": Column("%MEM", lambda process: f"{100 * process.resident / process.memory_total:.1f}"),
    "vsz": Column("VSZ", lambda process: str(int(process.stat[20]) // 1024)),
    "rss": Column("RSS", lambda process: str(process.resident // 1024)),
    "tty": Column("TTY", _terminal),
    "stat": Column("STAT", _state),
    "s": Column("S", lambda process: process.stat[0]),
    "stime": Column("STIME", _start_time),
    "start": Column("START", _start_time),
    "lstart": Column("STARTED", lambda process: time.strftime("%c", time.localtime(process.started))),
    "etime": Column("ELAPSED", _elapsed),
    "time": Column("TIME", lambda process: _clock(process.cpu_seconds)),
    "bsdtime": Column("TIME", _bsd_clock),
    "ni": Column("NI", lambda process: process.stat[16]),
    "pri": Column("PRI", lambda process: str(39 - int(process.stat[15]))),
    "nlwp": Column("NLWP", lambda process: process.stat[17]),
    "comm": Column("COMMAND", lambda process: process.comm),
    "ucmd": Column("CMD", lambda process: process.comm),
    "args": Column("COMMAND", lambda process: process.cmdline),
    "cmd": Column("CMD", lambda process: process.cmdline),
}
_ALIASES = {
    "pcpu": "%cpu", "pmem": "%mem", "vsize": "vsz", "rssize": "rss", "rsz": "rss", "command": "args", "euser": "user",
    "uname": "user", "state": "s", "tname": "tty", "tt": "tty", "cputime": "time", "start_time": "stime", "nice": "ni",
    "ucomm": "comm", "pgrp": "pgid", "sess": "sid", "session": "sid", "thcount": "nlwp",
    "bsdstart": "start", "euid": "uidnumber", "egid": "gid",
}  # fmt: skip
_FULL = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"]
_USER = ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "bsdtime", "args"]
_LONG = ["s", "uidnumber", "pid", "ppid", "c", "pri", "ni", "tty", "time", "ucmd"]
_PLAIN = ["pid", "tty", "time", "ucmd"]
_BSD_PLAIN = ["pid", "tty", "stat", "bsdtime", "args"]


def parse(ps_args: str) -> list[tuple[str, str]]:
    """(column, title) of each column that ps would print; InvalidArgument for what is not known here."""
    words = ps_args.split()
    chosen: list[tuple[str, str]] = []
    layout = _PLAIN
    while words:
        word = words.pop(0)
        if word in ("-o", "o", "-O", "--format", "-eo", "-axo", "axo", "-ao") or word.startswith(("-o", "--format=")):
            glued = word.partition("=")[2] if "=" in word and word.startswith("--") else word.removeprefix("-o")
            text = glued if glued != word and glued else (words.pop(0) if words else "")
            chosen += _formats(text)
        else:
            layout = _layout(word, layout)
    return chosen or [(name, COLUMNS[name].title) for name in layout]


def _layout(word: str, present: list[str]) -> list[str]:
    letters = word.lstrip("-")
    if not letters or not letters.isalpha():
        raise InvalidArgument(f"ps: {word}: not supported")
    if not word.startswith("-"):
        return _USER if "u" in letters else _BSD_PLAIN
    if "f" in letters:
        return _FULL
    return _LONG if "l" in letters else _USER if letters in ("aux", "auxww") else present


def _formats(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text.split(","):
        name, equals, title = part.strip().partition("=")
        name = name.lower()
        name = "uidnumber" if name == "uid" else _ALIASES.get(name, name)
        if name not in COLUMNS:
            raise InvalidArgument(f'ps: error: unknown user-defined format specifier "{part}"')
        found.append((name, title if equals else COLUMNS[name].title))
    return found


def _read(pid: int, boot: float, memory: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # a process chooses its name's bytes
            before, _, after = file.read().rpartition(")")
        with open(f"/proc/{pid}/status", errors="replace") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        with open(f"/proc/{pid}/cmdline", "rb") as raw:
            line = raw.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended while we looked
    comm = before.partition("(")[2]
    return Process(
        pid=pid, euid=int(status["Uid"].split()[1]), gid=int(status["Gid"].split()[1]), comm=comm,
        cmdline=line or f"[{comm}]", stat=after.split(), boot=boot, memory_total=memory, now=time.time(),
    )  # fmt: skip


def _boot_time() -> float:
    with open("/proc/stat") as file:
        return next(float(line.split()[1]) for line in file if line.startswith("btime"))
