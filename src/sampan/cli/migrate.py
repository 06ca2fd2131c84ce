"""`system migrate-from-docker`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .command import command, exactly
from .flags import Options
from .progress import display

if TYPE_CHECKING:
    from .session import Session


@command(
    "DATA-ROOT",
    "Take over images, volumes, networks and stopped containers of a Docker\n\n"
    "DATA-ROOT is a directory on the daemon's host, usually /var/lib/docker; it is only read. Stop dockerd first.",
    arity=exactly(1),
)
def migrate(session: Session, options: Options, arguments: list[str]) -> int:
    display(session.client.system_migrate(os.path.abspath(arguments[0])), sys.stdout)
    return 0
