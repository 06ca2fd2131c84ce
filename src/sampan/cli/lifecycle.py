"""Commands that change a container's state."""

from __future__ import annotations

from sampan.errors import NotFound, SampanError

from .command import CommandFailed, at_least, command, exactly
from .each import each
from .flags import Options, boolean, integer, string
from .session import Session

SIGNAL = string("signal", "Signal to send to the container", short="s")
TIMEOUT = integer("timeout", "Seconds to wait before killing the container", short="t")
OLD_TIMEOUT = integer("time", "Deprecated: use --timeout", hidden=True)
CONTAINERS = "CONTAINER [CONTAINER...]"


def _timeout(options: Options) -> int | None:
    found: int | None = options.given("timeout")
    return options.given("time") if found is None else found


@command(
    f"[OPTIONS] {CONTAINERS}", "Stop one or more running containers", SIGNAL, TIMEOUT, OLD_TIMEOUT, arity=at_least(1)
)
def stop(session: Session, options: Options, arguments: list[str]) -> int:
    timeout, signal = _timeout(options), options["signal"] or None
    return each(session, arguments, lambda name: session.client.container_stop(name, timeout, signal))


@command(f"[OPTIONS] {CONTAINERS}", "Restart one or more containers", SIGNAL, TIMEOUT, OLD_TIMEOUT, arity=at_least(1))
def restart(session: Session, options: Options, arguments: list[str]) -> int:
    timeout, signal = _timeout(options), options["signal"] or None
    return each(session, arguments, lambda name: session.client.container_restart(name, timeout, signal))


@command(f"[OPTIONS] {CONTAINERS}", "Kill one or more running containers", SIGNAL, arity=at_least(1))
def kill(session: Session, options: Options, arguments: list[str]) -> int:
    return each(session, arguments, lambda name: session.client.container_kill(name, options["signal"] or None))


@command(CONTAINERS, "Pause all processes within one or more containers", arity=at_least(1))
def pause(session: Session, options: Options, arguments: list[str]) -> int:
    return each(session, arguments, session.client.container_pause)


@command(CONTAINERS, "Unpause all processes within one or more containers", arity=at_least(1))
def unpause(session: Session, options: Options, arguments: list[str]) -> int:
    return each(session, arguments, session.client.container_unpause)


@command("CONTAINER NEW_NAME", "Rename a container", arity=exactly(2))
def rename(session: Session, options: Options, arguments: list[str]) -> int:
    old, new = (argument.strip() for argument in arguments)
    if not old or not new:
        raise CommandFailed("Error: Neither old nor new names may be empty")
    try:
        session.client.container_rename(old, new)
    except SampanError as error:
        session.warn(f"Error response from daemon: {error}")
        raise CommandFailed(f"Error: failed to rename container named {old}") from error
    return 0


@command(CONTAINERS, "Block until one or more containers stop, then print their exit codes", arity=at_least(1))
def wait(session: Session, options: Options, arguments: list[str]) -> int:
    def wait_for(name: str) -> None:
        session.say(str(session.client.container_wait(name)["StatusCode"]))

    return each(session, arguments, wait_for, echo=False)


@command(
    f"[OPTIONS] {CONTAINERS}",
    "Remove one or more containers",
    boolean("force", "Force the removal of a running container (uses SIGKILL)", short="f"),
    boolean("link", "Remove the specified link", short="l"),
    boolean("volumes", "Remove anonymous volumes associated with the container", short="v"),
    arity=at_least(1),
)
def rm(session: Session, options: Options, arguments: list[str]) -> int:
    def remove(name: str) -> None:
        try:
            session.client.container_remove(name.strip("/"), options["force"], options["volumes"], options["link"])
        except NotFound as error:
            if not options["force"]:
                raise
            missing.append(f"Error response from daemon: {error}")
            raise

    missing: list[str] = []
    try:
        return each(session, arguments, remove)
    except CommandFailed as error:
        # `rm -f` of a container that does not exist says so and succeeds.
        status = 0 if str(error).split("\n") == missing else 1
        raise CommandFailed(str(error), status) from error
