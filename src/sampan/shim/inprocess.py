"""Containers run by our own runtime, in the shim's process."""

from __future__ import annotations

import os
from typing import Any

from sampan import ocirun
from sampan.rpc import messages

from .pipes import Pipes


class InProcess:
    """One container; every call returns without waiting for another process but for the time of an execve."""

    def __init__(self, container_id: str, parked: ocirun.Parked | None, cgroup: str, cache: str) -> None:
        self._id, self._parked, self._cgroup = container_id, parked, cgroup
        self._launch = ocirun.Launch(container_id, cache=cache)
        self._created: ocirun.Created | None = None
        self._spec: dict[str, Any] = {}
        self.command: list[str] = []

    async def create(self, request: messages.Create, spec: dict[str, Any], pipes: Pipes) -> tuple[int, int]:
        """→ (init's pid, pty master or -1)."""
        stdin, stdout, stderr = pipes.inner
        self._created = created = ocirun.create(
            spec,
            request.bundle,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            console=request.tty,
            cgroup=self._cgroup,
            parked=self._parked,
            launch=self._launch,
        )
        self._spec = spec
        self._parked = None
        os.close(created.pidfd)  # the shim is the parent and reaps: the number stays its process's
        return created.pid, created.console_fd

    async def start(self) -> None:
        assert self._created is not None
        self._created.start()

    async def exec(self, init_pid: int, request: messages.Exec, pipes: Pipes) -> tuple[int, int]:
        """→ (pid, pty master or -1)."""
        stdin, stdout, stderr = pipes.inner
        created = ocirun.exec_process(
            init_pid,
            self._spec,
            request.process,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            console=request.tty,
            cgroup=self._cgroup,
            launch=self._launch,
        )
        os.close(created.pidfd)
        return created.pid, created.console_fd

    async def delete(self) -> None:
        """Nothing is left once init has ended."""
