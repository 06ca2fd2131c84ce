"""OCI hooks: config.md, «POSIX-platform Hooks»."""

from __future__ import annotations

import os
import select

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
    reader, writer = os.pipe2(os.O_CLOEXEC)
    output, captured = os.pipe2(os.O_CLOEXEC)
    environment = dict(entry.split("=", 1) for entry in hook.get("env") or () if "=" in entry)
    actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_DUP2, captured, 1), (os.POSIX_SPAWN_DUP2, captured, 2)]
    try:
        pid = os.posix_spawn(hook["path"], hook.get("args") or [hook["path"]], environment, file_actions=actions)
    finally:
        os.close(reader)
        os.close(captured)
    pidfd = os.pidfd_open(pid)
    try:
        _feed(writer, state)
        text = _collect(output, pidfd, hook.get("timeout"))
        status = pidfds.wait(pidfd)
    finally:
        os.close(output)
        os.close(pidfd)
    if status:
        raise RuntimeFailed(f"exit status {status}, stdout and stderr: {text.decode(errors='replace').strip()}")


def _feed(writer: int, state: str) -> None:
    try:
        os.write(writer, state.encode())  # less than the pipe's 64 KiB
    except BrokenPipeError:
        pass  # a hook need not read it
    finally:
        os.close(writer)


def _collect(output: int, pidfd: int, timeout: int | None) -> bytes:
    # The hook's end counts, not the end of its output: it may have left a daemon behind that keeps the pipe.
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(output, select.POLLIN)
    text = b""
    while True:
        events = poll.poll(timeout * 1000 if timeout else None)
        if not events:
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
