"""`start`."""

from __future__ import annotations

from sampan.client.containers import container_wait
from sampan.errors import SampanError

from .attach import follow_size
from .command import CommandFailed, at_least, command
from .flags import Options, boolean, string
from .main import describe
from .run import exit_status
from .stream import Streams, detach_keys, proxy_signals
from .terminal import Detached, check_tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.client.sync import Client

    from .session import Session


@command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    boolean("attach", "Attach STDOUT/STDERR and forward signals", short="a"),
    string("checkpoint", "Restore from this checkpoint", hidden=True),
    string("detach-keys", "Override the key sequence for detaching a container"),
    boolean("interactive", "Attach container's STDIN", short="i"),
    arity=at_least(1),
)
def start(session: Session, options: Options, arguments: list[str]) -> int:
    if not (options["attach"] or options["interactive"]):
        return _start_all(session, arguments)
    if len(arguments) > 1:
        raise CommandFailed("you cannot start and attach multiple containers at once")
    return _start_attached(session, options, arguments[0])


def _start_all(session: Session, names: list[str]) -> int:
    failed = []
    for name in names:
        try:
            session.client.container_start(name)
        except SampanError as error:
            session.warn(describe(error))
            failed.append(name)
            continue
        session.say(name)
    if failed:
        raise CommandFailed(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(session: Session, options: Options, name: str) -> int:
    client: Client = session.client
    found = client.container_inspect(name)
    tty = bool(found["Config"].get("Tty"))
    stdin = bool(options["interactive"]) and bool(found["Config"].get("OpenStdin"))
    check_tty(stdin, tty)
    keys = detach_keys(session, options["detach-keys"])
    if not tty:
        proxy_signals(client, found["Id"])
    hijacked = client.container_attach(found["Id"], stdin=stdin, detach_keys=options["detach-keys"] or None)
    condition = "removed" if found["HostConfig"].get("AutoRemove") else "next-exit"
    waiting = client.begin(container_wait.build(found["Id"], condition))
    client.container_start(found["Id"], options["detach-keys"] or None)
    if tty:
        follow_size(client, found["Id"])
    try:
        Streams(hijacked, stdin=stdin, tty=tty, keys=keys).run()
    except Detached:
        return 0
    return exit_status(waiting.result())
