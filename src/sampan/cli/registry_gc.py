"""`registry gc`: garbage collection while no registry serves the directory."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from .command import CommandFailed, command
from .flags import Options, duration, string

if TYPE_CHECKING:
    from .session import Session

SECOND = 10**9


@command(
    "[OPTIONS]",
    "Remove what no manifest needs; a registry that serves collects by itself, or at once on SIGUSR1",
    duration("gc-grace", "Age below which unreferenced blobs are kept", default=3600 * SECOND),
    string("root", "Directory that holds the images", default="/var/lib/sampan-registry"),
)
def gc(session: Session, options: Options, arguments: list[str]) -> int:
    from sampan.errors import SampanError
    from sampan.registry.server.config import ServerConfig
    from sampan.registry.server.run import collect_offline

    config = ServerConfig(os.path.abspath(options["root"]), gc_grace=options["gc-grace"] / SECOND)
    try:
        found = asyncio.run(collect_offline(config))
    except (OSError, SampanError) as error:
        raise CommandFailed(f"sampan: {error}") from error
    session.say(f"removed {found.blobs} blobs, {found.freed} bytes")
    return 0
