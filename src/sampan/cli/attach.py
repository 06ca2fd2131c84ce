"""`attach`."""

from __future__ import annotations

import sys

from sampan.client.containers import container_wait
from sampan.errors import SampanError

from .command import CommandFailed, command, exactly
from .flags import Options, boolean, string
from .run import exit_status
from .stream import Streams, detach_keys, proxy_signals
from .terminal import Detached, check_tty, on_resize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.client.sync import Client
    from sampan.client.types import ContainerInspect

    from .session import Session


@command(
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    string("detach-keys", "Override the key sequence for detaching a container"),
    boolean("no-stdin", "Do not attach STDIN"),
    boolean("sig-proxy", "Proxy all received signals to the process", default=True),
    arity=exactly(1),
)
def attach(session: Session, options: Options, arguments: list[str]) -> int:
    client = session.client
    found = client.container_inspect(arguments[0])
    check_state(found)
    tty = bool(found["Config"].get("Tty"))
    stdin = bool(found["Config"].get("OpenStdin")) and not options["no-stdin"]
    check_tty(stdin, tty)
    keys = detach_keys(session, options["detach-keys"])
    waiting = client.begin(container_wait.build(found["Id"]))
    hijacked = client.container_attach(found["Id"], stdin=stdin, detach_keys=options["detach-keys"] or None)
    if options["sig-proxy"] and not tty:
        proxy_signals(client, found["Id"])
    if tty:
        follow_size(client, found["Id"])
    try:
        Streams(hijacked, stdin=stdin, tty=tty, keys=keys).run()
    except Detached:
        sys.stderr.write("read escape sequence\n")
        return 0
    return exit_status(waiting.result())


def check_state(found: ContainerInspect) -> None:
    state = found["State"]
    if not state.get("Running"):
        raise CommandFailed("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CommandFailed("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CommandFailed("You cannot attach to a restarting container, wait until it is running")


def follow_size(client: Client, container_id: str) -> None:
    def notify(rows: int, columns: int) -> None:
        try:
            client.clone().container_resize(container_id, rows, columns)
        except SampanError:
            return  # a container that has ended has no size

    on_resize(notify)
