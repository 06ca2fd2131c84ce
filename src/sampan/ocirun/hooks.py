"""OCI hooks: config.md, «POSIX-platform Hooks»."""

from __future__ import annotations

import os
import select
import time

from ..linux import fds
from ..linux import pidfd as pidfds
from .failure import RuntimeFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IN_RUNTIME = ("prestart", "createRuntime")


def run(hooks: list[dict[str, Any]] | None, state: str) -> None:
    """Run hooks in order with the container's state (JSON) on stdin; the first that fails is an error."""
    for number, hook in enumerate(hooks or ()):
        try:
            _run(hook, state)
        except (OSError, RuntimeFailed) as error:
            raise RuntimeFailed(f"error running hook #{number}: {error}") from error


def run_all(hooks: list[dict[str, Any]] | None, state: str) -> list[str]:
    """As `run` for poststart and poststop, whose failures are warnings only."""
    warnings = []
    for hook in hooks or ():
        try:
            _run(hook, state)
        except (OSError, RuntimeFailed) as error:
            warnings.append(f"hook {hook['path']}: {error}")
    return warnings


def _run(hook: dict[str, Any], state: str) -> None:
    output, captured = os.pipe2(os.O_CLOEXEC)
    try:
        pidfd = _spawn(hook, state, captured)
        try:
            text = _collect(output, pidfd, hook.get("timeout"))
            status = pidfds.wait(pidfd)
        finally:
            os.close(pidfd)
    finally:
        os.close(output)
    if status:
        raise RuntimeFailed(f"exit status {status}, stdout and stderr: {text.decode(errors='replace').strip()}")


def _spawn(hook: dict[str, Any], state: str, captured: int) -> int:
    """A hook's pidfd; closes `captured`, which is its stdout and stderr."""
    # A file rather than a pipe: a hook need not read it, and it may be larger than a pipe holds.
    stdin = fds.memfd("state", state.encode())
    environment = dict(entry.split("=", 1) for entry in hook.get("env") or () if "=" in entry)
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, captured, 1), (os.POSIX_SPAWN_DUP2, captured, 2)]
    try:
        pid = os.posix_spawn(hook["path"], hook.get("args") or [hook["path"]], environment, file_actions=actions)
    finally:
        os.close(stdin)
        os.close(captured)
    return os.pidfd_open(pid)


def _collect(output: int, pidfd: int, timeout: int | None) -> bytes:
    """What it says until it ends: its output may stay open longer, in a daemon that it left behind."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(output, select.POLLIN)
    deadline = time.monotonic() + timeout if timeout else None
    text = b""
    while True:
        left = None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
        events = poll.poll(left)
        if left == 0 or not events:
            pidfds.send_signal(pidfd, 9)
            pidfds.wait(pidfd)
            raise RuntimeFailed(f"hook ran past specified timeout of {timeout}s")
        ready = [fd for fd, _ in events]
        if output in ready:
            part = os.read(output, 4096)
            text += part
            if not part:
                poll.unregister(output)
        elif pidfd in ready:
            return text
