"""What a container is doing."""

from __future__ import annotations

from msgspec import Struct

from .container import DockerStruct, DockerValue

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: the API's word for «not yet»."""


class HealthProbe(DockerValue, frozen=True):
    """One run of a health check; times are RFC 3339 with nanoseconds."""

    start: str
    end: str
    exit_code: int
    output: str


class Health(DockerStruct):
    """`Status` is `none`, `starting`, `healthy` or `unhealthy`; `Log` keeps the last five probes."""

    status: str = "none"
    failing_streak: int = 0
    log: list[HealthProbe] | None = None


class ContainerState(Struct, kw_only=True):
    """As kept by the engine; `status` is created, running, paused, restarting, removing, exited or dead.

    `pid` is the init process in the host's pid namespace, 0 when not running. Times are RFC 3339 with nanoseconds.
    """

    status: str = "created"
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started_at: str = NEVER
    finished_at: str = NEVER
    restart_count: int = 0
    stopped_by_user: bool = False
    """`docker stop` or `docker kill` ended it: `unless-stopped` and `on-failure` do not start it again."""
    health: Health | None = None
