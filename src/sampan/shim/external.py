"""Containers run by an external OCI runtime: runc, crun and the like, by runc's command line."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

from sampan import errors
from sampan.linux import fds
from sampan.ocirun import RuntimeFailed
from sampan.rpc import messages

from . import verdict
from .loop import Loop
from .pipes import Pipes
from .tasks import exited

CONSOLE = "console.sock"
LOG = "runtime.log"
PROCESS = "process.json"
PIDFILE = "pid"


_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class ExternalFailed(RuntimeFailed):
    """What a runtime says; `exit_code` is 127 or 126 where the program was not found or may not be run, else 0."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.exit_code = verdict.exit_code(text)


class External:
    """One container. `command` is the runtime's argv so far, e.g. `["/usr/bin/runc", "--systemd-cgroup"]`."""

    def __init__(self, loop: Loop, command: list[str], container_id: str, bundle: str, directory: str) -> None:
        self.loop, self.id, self.bundle, self.directory = loop, container_id, bundle, directory
        self.command = [
            *command,
            "--root",
            os.path.normpath(f"{directory}/../../runtime"),
            "--log",
            f"{directory}/{LOG}",
        ]
        self.command += ["--log-format", "json"]

    async def create(self, request: messages.Create, _spec: str, pipes: Pipes) -> tuple[int, int]:
        """→ (init's pid, pty master or -1)."""
        arguments = ["create", "--bundle", self.bundle, "--pid-file", f"{self.directory}/{PIDFILE}"]
        return await self._launch(arguments, [self.id], pipes, request.tty)

    async def start(self) -> None:
        await self._run(["start", self.id], [-1, -1, -1])

    async def exec(self, _init_pid: int, request: messages.Exec, pipes: Pipes) -> tuple[int, int]:
        """→ (pid, pty master or -1)."""
        process = f"{self.directory}/{PROCESS}"
        with open(process, "w", encoding="utf-8") as file:
            json.dump({**json.loads(request.process), "terminal": request.tty}, file)
        arguments = ["exec", "--detach", "--process", process, "--pid-file", f"{self.directory}/{PIDFILE}"]
        return await self._launch(arguments, [self.id], pipes, request.tty)

    async def delete(self) -> None:
        try:
            await self._run(["delete", "--force", self.id], [-1, -1, -1])
        except errors.SampanError:
            pass  # it never got to know the container

    async def _launch(self, options: list[str], names: list[str], pipes: Pipes, tty: bool) -> tuple[int, int]:
        console = _Console(self.directory) if tty else None
        try:
            if console is not None:
                options = [*options, "--console-socket", console.path]
            await self._run([*options, *names], pipes.inner)
            terminal = console.take() if console is not None else -1
        finally:
            if console is not None:
                console.close()
        with open(f"{self.directory}/{PIDFILE}", encoding="utf-8") as file:
            return int(file.read()), terminal

    async def _run(self, arguments: list[str], stdio: list[int]) -> None:
        log = f"{self.directory}/{LOG}"
        if os.path.exists(log):
            os.unlink(log)
        self.loop.expect_children()
        status = await exited(self.loop, spawn([*self.command, *arguments], stdio))
        if status != 0:
            raise _reported(log, f"{os.path.basename(self.command[0])} {arguments[0]} failed with status {status}")


def spawn(command: list[str], stdio: list[int]) -> int:
    """Start a program with these fds as its stdio, /dev/null for -1 → its pid.

    Output that nobody takes goes to /dev/null too: a runtime's messages are in its log.
    """
    actions: list[Any] = []
    for number, fd in enumerate(stdio):
        if fd >= 0:
            actions.append((os.POSIX_SPAWN_DUP2, fd, number))
        else:
            actions.append((os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0))
    defaults = [signal.SIGPIPE, signal.SIGCHLD]
    try:
        return os.posix_spawnp(command[0], command, _ENVIRONMENT, file_actions=actions, setsigdef=defaults)
    except OSError as error:
        raise errors.InvalidArgument(f"failed to start runtime {command[0]}: {error.strerror}") from error


def _reported(log: str, fallback: str) -> ExternalFailed:
    text = fallback
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                entry = json.loads(line)
                if entry.get("level") == "error":
                    text = str(entry.get("msg", text))
    except (OSError, ValueError):
        pass  # a runtime that does not write runc's log: the status is all there is to say
    return ExternalFailed(text)


class _Console:
    """Where a runtime sends a pty's master (runc's docs/terminals.md)."""

    def __init__(self, directory: str) -> None:
        self._file = f"{directory}/{CONSOLE}"
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # The plain path may exceed what a socket address holds (unix(7)).
        self.path = f"/proc/{os.getpid()}/fd/{self._directory}/{CONSOLE}"
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        _unlink(self._file)
        self._sock.bind(self.path)
        self._sock.listen(1)

    def take(self) -> int:
        """The master; the runtime has sent it before it ended."""
        try:
            connection, _ = self._sock.accept()
        except BlockingIOError as error:
            raise errors.SampanError("runtime sent no terminal") from error
        with connection:
            _, passed = fds.recv_fds(connection, 4096)
        if not passed:
            raise errors.SampanError("runtime sent no terminal")
        for extra in passed[1:]:
            os.close(extra)
        return passed[0]

    def close(self) -> None:
        self._sock.close()
        _unlink(self._file)
        os.close(self._directory)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
