"""What daemon, zygote and shim say to each other.

Every request has a `serial`; the answer with the same serial is a `Reply` or a `Failure`. `Exited` comes unasked.
"""

from __future__ import annotations

from . import documents, framing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
else:

    def dataclass_transform(**_options):
        return lambda kind: kind


@dataclass_transform(kw_only_default=True)
class Fields:
    """Named values, by keyword; what is not given is the class's default.

    Neither msgspec nor dataclasses: a zygote without either is half as large, and every shim has a share of it.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment] # a request gets its serial late

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.__dict__})"


class Message(Fields):
    """Base of all messages; on the wire a JSON object whose member `t` is the class's name."""


class Request(Message):
    serial: int = 0


# To the zygote: one Configure, then packets of any content, each with a socket for the shim that it forks.


class Configure(Message):
    exec_root: str
    cgroup_parent: str
    """Below which shims and parked children have groups; empty where systemd makes the groups."""


PARK, FORK = b"p", b"f"
"""The packets: a shim with a parked child, or one without."""


# To a shim that has no container yet.


class Spawn(Message):
    """Which container it is for; the first message on its control connection."""

    container_id: str


# To the shim.


class LogSetup(Fields):
    """`info` holds the fields of `logs.info.LogInfo`; `path` is the directory of the log files."""

    driver: str = "json-file"
    config: dict[str, str] = {}
    path: str
    info: dict[str, Any] = {}


class Create(Request):
    """Make the container up to the point where its program would run.

    `runtime` is the command of an external OCI runtime, empty for ours; `state_dir` is where `exit.json` goes; `spec`
    is the OCI configuration as JSON text, which the shim hands on unread; empty where `bundle/config.json` holds it.
    """

    bundle: str
    state_dir: str
    cgroup: str
    spec: str = ""
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    console_size: tuple[int, int] = (0, 0)
    log: LogSetup | None = None
    runtime: list[str] = []


class Start(Request):
    pass


class Exec(Request):
    """Run a further process; `process` is the OCI process object as JSON text, with its terminal's size.

    One attachment rides along as an fd if `attached`.
    """

    exec_id: str
    process: str
    tty: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    attached: bool = False


class Attach(Request):
    """The fd that rides along is the shim's end of the attachment."""

    exec_id: str | None = None
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


class Resize(Request):
    exec_id: str | None = None
    height: int
    width: int


class Signal(Request):
    exec_id: str | None = None
    signo: int


class CloseStdin(Request):
    exec_id: str | None = None


class Inspect(Request):
    """Answered by a `Status`."""


class Netns(Request):
    """Answered by an fd of the network namespace of the parked child or of init."""


class Close(Request):
    """The container is done with; the shim removes its cgroup and ends."""


# From the shim.


class Hello(Message):
    """The first message on a control connection."""

    pid: int
    container_id: str
    init_pid: int = 0


class Reply(Message):
    serial: int
    value: int = 0


class Status(Message):
    """`phase` is new, created, running or stopped; `exit` is set when stopped. `execs` maps running execs to pids."""

    serial: int
    phase: str
    init_pid: int = 0
    cgroup: str = ""
    started_at: int = 0
    execs: dict[str, int] = {}
    exit: Exited | None = None


class Failure(Message):
    """`kind` is a class name in `sampan.errors`; `exit_code` is 126 or 127 where Docker reports one."""

    serial: int
    kind: str
    text: str
    exit_code: int = 0


class Exited(Message):
    """`status` is 0–255, signals as 128+n; times in ns since the epoch."""

    exec_id: str | None = None
    status: int
    oom_killed: bool = False
    started_at: int = 0
    finished_at: int = 0


ToShim = Create | Start | Exec | Attach | Resize | Signal | CloseStdin | Inspect | Netns | Close
FromShim = Hello | Reply | Status | Failure | Exited

_KINDS = {
    kind.__name__: kind
    for kind in (
        Configure, Spawn, Create, Start, Exec, Attach, Resize, Signal, CloseStdin, Inspect, Netns, Close,
        Hello, Reply, Status, Failure, Exited,
    )
}  # fmt: skip
_NESTED = {"log": LogSetup, "exit": Exited}


def encode(message: Message) -> bytes:
    """A message's octets."""
    values = {"t": type(message).__name__} | message.__dict__
    for name in _NESTED.keys() & values.keys():
        values[name] = values[name] and values[name].__dict__
    return documents.dumps(values).encode("utf-8", "replace")


def decode(octets: bytes) -> Any:
    """The message; ProtocolError for what is none. Fields that are not known here are kept and ignored."""
    try:
        values = documents.loads(octets.decode())
        kind = _KINDS[values.pop("t")]
        for name in _NESTED.keys() & values.keys():
            values[name] = values[name] and _NESTED[name](**values[name])
        return kind(**values)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise framing.ProtocolError(f"not a message: {error}") from None


def decode_exit(octets: bytes) -> Exited:
    """The content of `exit.json`; ProtocolError where it is torn."""
    try:
        return Exited(**documents.loads(octets.decode()))
    except (ValueError, TypeError) as error:
        raise framing.ProtocolError(f"not an exit: {error}") from None
