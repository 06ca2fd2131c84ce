"""What daemon, zygote and shim say to each other.

Every request has a `serial`; the answer with the same serial is a `Reply` or a `Failure`. `Exited` comes unasked.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct


class Message(Struct, tag=True, tag_field="t", omit_defaults=True, kw_only=True):
    """Base of all messages; the tag is the class name."""


class Request(Message, kw_only=True):
    serial: int = 0


# To the zygote: one Configure, then packets of any content, each with a socket for the shim that it forks.


class Configure(Message, kw_only=True):
    exec_root: str
    cgroup_parent: str


PARK, FORK = b"p", b"f"
"""The packets: a shim with a parked child, or one without."""


# To a shim that has no container yet.


class Spawn(Message, kw_only=True):
    """Which container it is for; the first message on its control connection."""

    container_id: str


# To the shim.


class LogSetup(Struct, omit_defaults=True, kw_only=True):
    """`info` holds the fields of `logs.info.LogInfo`; `path` is the directory of the log files."""

    driver: str = "json-file"
    config: dict[str, str] = {}
    path: str
    info: dict[str, Any] = {}


class Create(Request, kw_only=True):
    """Make the container up to the point where its program would run.

    `runtime` is the command of an external OCI runtime, empty for ours; `state_dir` is where `exit.json` goes; `spec`
    is the OCI configuration as msgpack, which the shim hands on unread; empty where `bundle/config.json` holds it.
    """

    bundle: str
    state_dir: str
    cgroup: str
    spec: msgspec.Raw = msgspec.Raw(b"")
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    console_size: tuple[int, int] = (0, 0)
    log: LogSetup | None = None
    runtime: list[str] = []


class Start(Request, kw_only=True):
    pass


class Exec(Request, kw_only=True):
    """Run a further process; `process` is the OCI process object, with its terminal's size.

    One attachment rides along as an fd if `attached`.
    """

    exec_id: str
    process: msgspec.Raw
    tty: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    attached: bool = False


class Attach(Request, kw_only=True):
    """The fd that rides along is the shim's end of the attachment."""

    exec_id: str | None = None
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


class Resize(Request, kw_only=True):
    exec_id: str | None = None
    height: int
    width: int


class Signal(Request, kw_only=True):
    exec_id: str | None = None
    signo: int


class CloseStdin(Request, kw_only=True):
    exec_id: str | None = None


class Inspect(Request, kw_only=True):
    """Answered by a `Status`."""


class Netns(Request, kw_only=True):
    """Answered by an fd of the network namespace of the parked child or of init."""


class Close(Request, kw_only=True):
    """The container is done with; the shim removes its cgroup and ends."""


# From the shim.


class Hello(Message, kw_only=True):
    """The first message on a control connection."""

    pid: int
    container_id: str
    init_pid: int = 0


class Reply(Message, kw_only=True):
    serial: int
    value: int = 0


class Status(Message, kw_only=True):
    """`phase` is new, created, running or stopped; `exit` is set when stopped. `execs` maps running execs to pids."""

    serial: int
    phase: str
    init_pid: int = 0
    cgroup: str = ""
    started_at: int = 0
    execs: dict[str, int] = {}
    exit: Exited | None = None


class Failure(Message, kw_only=True):
    """`kind` is a class name in `sampan.errors`; `exit_code` is 126 or 127 where Docker reports one."""

    serial: int
    kind: str
    text: str
    exit_code: int = 0


class Exited(Message, kw_only=True):
    """`status` is 0–255, signals as 128+n; times in ns since the epoch."""

    exec_id: str | None = None
    status: int
    oom_killed: bool = False
    started_at: int = 0
    finished_at: int = 0


ToShim = Create | Start | Exec | Attach | Resize | Signal | CloseStdin | Inspect | Netns | Close
FromShim = Hello | Reply | Status | Failure | Exited

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_configure = msgspec.msgpack.Decoder(Configure).decode
decode_spawn = msgspec.msgpack.Decoder(Spawn).decode
decode_for_shim = msgspec.msgpack.Decoder(ToShim).decode
decode_from_shim = msgspec.msgpack.Decoder(FromShim).decode
