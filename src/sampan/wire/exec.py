"""`GET /exec/{id}/json`."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field

from ..model.container import DockerStruct


class ProcessConfig(Struct, kw_only=True):
    tty: bool
    entrypoint: str
    arguments: list[str]
    privileged: bool
    user: str | UnsetType = UNSET


class ExecInspect(DockerStruct, kw_only=True):
    """`ExitCode` is null while it runs."""

    id: str = field(name="ID")
    running: bool
    exit_code: int | None
    process_config: ProcessConfig
    open_stdin: bool
    open_stderr: bool
    open_stdout: bool
    can_remove: bool
    container_id: str = field(name="ContainerID")
    detach_keys: str
    pid: int
