"""Containers whose shim was killed: nobody holds their streams or waits for their exit any more, so they end too."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

import msgspec
from msgspec import Struct

from sampan.linux.cgroup import named
from sampan.rpc import files

DELETE_SECONDS = 10.0


class Running(Struct):
    """A shim's `state.json`: init's pid, the container's cgroup, and an external runtime's command that knows it."""

    pid: int
    cgroup: str
    runtime: list[str] = []


def kill(directory: str) -> None:
    """End and clean up what the dead shim of `directory` left; nothing where it left nothing. Blocks for moments.

    Processes are found by the container's cgroup, so that a pid that is used again is never hit.
    """
    try:
        with open(f"{directory}/{files.STATE}", "rb") as file:
            running = msgspec.json.decode(file.read(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        running = None
    if running is not None:
        _end(running, os.path.basename(directory))
    if os.path.isdir(directory):
        shutil.rmtree(directory, ignore_errors=True)


def _end(running: Running, container_id: str) -> None:
    group = named(running.cgroup)
    if group.exists():
        group.kill()
    if running.runtime:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            command = [*running.runtime, "delete", "--force", container_id]
            subprocess.run(command, capture_output=True, timeout=DELETE_SECONDS, check=False)
    with contextlib.suppress(OSError):  # it does not empty (a process in D state): left for the next start
        group.remove()
