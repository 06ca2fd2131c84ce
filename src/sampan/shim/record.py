"""The files that a shim leaves for the daemon (rpc/files.py)."""

from __future__ import annotations

import os

from sampan.linux.fds import write_all
from sampan.rpc import documents, files, messages

_NAMES = ("shim.log", files.STATE, "console.sock", "runtime.log", "process.json", "pid")


def write_running(directory: str, pid: int, cgroup: str, runtime: list[str]) -> None:
    """Not durable: a reboot ends the container as well."""
    state = {"pid": pid, "cgroup": cgroup, "runtime": runtime}
    _write(f"{directory}/{files.STATE}", documents.dumps(state), durable=False)


def forget_exit(state_dir: str) -> None:
    """The file of an earlier run must not pass for this one's, should the shim be killed."""
    try:
        os.unlink(f"{state_dir}/{files.EXIT}")
    except FileNotFoundError:
        pass


def write_exit(state_dir: str, exited: messages.Exited, *, durable: bool) -> None:
    """Replace `exit.json`; with `durable` it survives a power cut from here on. Nothing where the directory is gone."""
    try:
        _write(f"{state_dir}/{files.EXIT}", documents.dumps(exited.__dict__), durable=durable)
    except FileNotFoundError:
        pass  # the container was removed by force


def _write(path: str, content: str, *, durable: bool) -> None:
    temporary = f"{path}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, content.encode())
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    if durable:
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def remove(directory: str) -> None:
    """Take the shim's directory away; a file that is not ours stays, and the directory with it."""
    for name in _NAMES:
        try:
            os.unlink(f"{directory}/{name}")
        except FileNotFoundError:
            continue
    try:
        os.rmdir(directory)
    except OSError:
        pass  # not empty, or gone with the exec root
