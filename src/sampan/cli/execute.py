"""`exec`."""

from __future__ import annotations

from sampan.errors import SampanError

from . import run_values, terminal
from .command import CommandFailed, at_least, command
from .flags import Options, boolean, many, string
from .key_values import environment
from .run import status_of
from .stream import Streams, detach_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.client.sync import Client

    from .session import Session


@command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    boolean("detach", "Detached mode: run command in the background", short="d"),
    string("detach-keys", "Override the key sequence for detaching a container"),
    many("env", "Set environment variables", short="e", read=run_values.environment),
    many("env-file", "Read in a file of environment variables"),
    boolean("interactive", "Keep STDIN open even if not attached", short="i"),
    boolean("privileged", "Give extended privileges to the command"),
    boolean("tty", "Allocate a pseudo-TTY", short="t"),
    string("user", 'Username or UID (format: "<name|uid>[:<group|gid>]")', short="u"),
    string("workdir", "Working directory inside the container", short="w"),
    arity=at_least(2),
    interspersed=False,
)
def exec(session: Session, options: Options, arguments: list[str]) -> int:
    config = exec_config(session, options, arguments[1:])
    terminal.check_tty(config["AttachStdin"], config["Tty"])
    client = session.client
    exec_id = client.exec_create(arguments[0], config)["Id"]
    if options["detach"]:
        client.exec_start_detached(exec_id)
        return 0
    try:
        return _run_attached(session, client, exec_id, config, detach_keys(session, options["detach-keys"]))
    except SampanError as error:
        status = status_of(str(error))
        raise CommandFailed(f"Error response from daemon: {error}", 1 if status == 125 else status) from error


def exec_config(session: Session, options: Options, command_line: list[str]) -> dict[str, Any]:
    attached = not options["detach"]
    size = terminal.size() if options["tty"] else None
    return {
        "User": options["user"],
        "Privileged": options["privileged"],
        "Tty": options["tty"],
        "ConsoleSize": list(size) if size else None,
        "AttachStdin": attached and options["interactive"],
        "AttachStderr": attached,
        "AttachStdout": attached,
        "DetachKeys": options["detach-keys"] or session.config.text("detachKeys"),
        "Env": environment(options["env-file"], options["env"]) or None,
        "WorkingDir": options["workdir"],
        "Cmd": command_line,
    }


def _run_attached(session: Session, client: Client, exec_id: str, config: dict[str, Any], keys: bytes) -> int:
    hijacked = client.exec_start(exec_id, config["Tty"], terminal.size() if config["Tty"] else None)
    if config["Tty"]:
        _follow_size(client, exec_id)
    try:
        Streams(hijacked, stdin=config["AttachStdin"], tty=config["Tty"], keys=keys).run()
    except terminal.Detached:
        return 0
    return client.exec_inspect(exec_id).get("ExitCode") or 0


def _follow_size(client: Client, exec_id: str) -> None:
    def notify(rows: int, columns: int) -> None:
        try:
            client.clone().exec_resize(exec_id, rows, columns)
        except SampanError:
            return  # it has ended

    terminal.on_resize(notify)
