"""Log drivers as the shim uses them: no asyncio, nothing that waits.

A writer takes what the container wrote. One with a remote sink says by `poll` which fd to watch for what, is called
back through `ready`, and is `full` when the sink does not keep up: the container then waits (mode=blocking).
"""

from __future__ import annotations

import os

from sampan import errors

from . import options as opts
from .jsonfile import JsonFileWriter
from .localfile import LocalWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, TypeGuard

    from .info import LogInfo

    class Writer(Protocol):
        """`full` may be True for a writer with a sink only. `pending`: it keeps what is not written yet.

        `end` tells that a stream has ended: its last piece is due.
        """

        @property
        def full(self) -> bool: ...
        @property
        def pending(self) -> bool: ...
        def write(self, stream: int, data: bytes, timestamp_ns: int) -> None: ...
        def end(self, stream: int, timestamp_ns: int) -> None: ...
        def close(self) -> None: ...

    class Sink(Writer, Protocol):
        """A writer whose messages go through a socket."""

        def poll(self) -> tuple[int, bool, float]:
            """(fd or -1, whether it waits for room to write, seconds until `ready` is wanted anyway or -1)."""

        def ready(self) -> None: ...
        def drained(self) -> bool: ...


JSON_FILE = "{id}-json.log"
LOCAL_FILE = "local-logs/container.log"
CACHE_FILE = "container-cached.log"


def is_sink(writer: Writer) -> TypeGuard[Sink]:
    return hasattr(writer, "poll")


def path(driver: str, directory: str, container_id: str) -> str:
    """The file that can be read back, where the driver or its cache has one."""
    if driver in ("", "json-file"):
        return f"{directory}/{JSON_FILE.format(id=container_id)}"
    return f"{directory}/{LOCAL_FILE if driver == 'local' else CACHE_FILE}"


def open(driver: str, config: dict[str, str], directory: str, info: LogInfo) -> list[Writer]:
    """The writers of one container: the driver's own and, beside a remote one, its readable cache.

    Raises InvalidArgument for options that are wrong, Unavailable for a sink that cannot be reached.
    """
    target = path(driver, directory, info.container_id)
    if driver in ("", "json-file"):
        limit, count = _bounds(config, "max-", base=1000)  # json-file's alone, as in Docker
        attrs = info.attributes(config)
        if "tag" in config:
            attrs["tag"] = info.tag(config)
        compress = opts.flag(config, "compress", default=False)
        return [JsonFileWriter(target, limit, count, compress=compress, attrs=attrs)]
    if driver == "local":
        return [_open_local(target, config, "max-", "compress")]
    if driver == "none":
        return []
    sink = _open_sink(driver, config, info)
    if opts.flag(config, "cache-disabled", default=False):
        return [sink]
    return [_open_local(target, config, "cache-max-", "cache-compress"), sink]


def _bounds(config: dict[str, str], prefix: str, base: int = 1024) -> tuple[int, int]:
    limit = opts.size(config, f"{prefix}size", opts.DEFAULT_SIZE, base)
    return limit, opts.count(config, f"{prefix}file", opts.DEFAULT_COUNT)


def _open_local(target: str, config: dict[str, str], prefix: str, compress: str) -> LocalWriter:
    limit, count = _bounds(config, prefix)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    return LocalWriter(target, limit, count, compress=opts.flag(config, compress, default=True))


def _open_sink(driver: str, config: dict[str, str], info: LogInfo) -> Sink:
    # Each driver is imported where it is used: a shim with a file log pays for none of them.
    if driver == "journald":
        from .journald import open_sink
    elif driver == "syslog":
        from .syslog import open_sink
    elif driver == "gelf":
        from .gelf import open_sink
    elif driver == "fluentd":
        from .fluentd import open_sink
    else:
        raise errors.InvalidArgument(f"logger: no log driver named '{driver}' is registered")
    return open_sink(config, info)
