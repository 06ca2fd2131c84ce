"""A running container's state as it goes from the worker to its keeper: plain values and descriptors."""

from __future__ import annotations

from sampan.linux.fds import socket
from sampan.rpc import messages

from .creator import Own
from .log import LogPump
from .process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .container import Container

STREAMS = ("stdin", "stdout", "stderr", "terminal")


def is_quiet(container: Container) -> bool:
    """Whether nothing is under way that would not survive the hand-over."""
    init = container.init
    return (
        container.phase == "running"
        and isinstance(container.runner, Own)
        and init is not None
        and init.status is None
        and not container.execs
        and not container.lingering
        and init.streams.is_quiet
        and (container.log is None or container.log.is_quiet)
        and container.server.is_quiet
        and container.loop.is_quiet(init.pid)
    )


def hand_over(container: Container) -> tuple[dict[str, Any], list[int]]:
    """(state, descriptors); the container is not to be touched from here on."""
    init, runner = container.init, container.runner
    assert init is not None and isinstance(runner, Own)
    streams = init.streams.fds()
    state = {
        "container_id": container.id,
        "directory": container.directory,
        "state_dir": container.state_dir,
        "bundle": runner.bundle,
        "cgroup": container.cgroup.name,
        "init_pid": init.pid,
        "started_at": container.started_at,
        "stdin_once": init.streams.stdin_once,
        "log": None if container.log is None else container.log.setup.__dict__,
        "streams": list(streams),
    }
    return state, [*streams.values(), *container.server.fds()]


def take_over(container: Container, state: dict[str, Any], fds: list[int]) -> None:
    """Make a fresh container what the state says."""
    container.state_dir, container.started_at = state["state_dir"], state["started_at"]
    container.cgroup.resume(state["cgroup"])
    container.runner = Own(container.id, None, state["cgroup"], state["bundle"])
    if state["log"] is not None:
        container.log = LogPump(container.loop, messages.LogSetup(**state["log"]))
    container.init = init = Process(container.loop, None, container.log, stdin_once=state["stdin_once"])
    count = len(state["streams"])
    given = dict(zip(state["streams"], fds, strict=False))
    init.streams.open(*(given.get(name, -1) for name in STREAMS))
    if container.log is not None:
        container.log.on_room = init.streams.check_room
    init.watch(state["init_pid"], container.on_init_exit)
    container.phase = "running"
    listener, *connections = fds[count:]
    container.server.resume(container.directory, socket(fileno=listener), [socket(fileno=fd) for fd in connections])
