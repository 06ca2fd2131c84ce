"""From the command line to a running daemon: configuration, pid file, then the event loop."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Sequence

from .. import __version__, faults
from ..errors import SampanError
from . import config, flags, pidfile, remap
from .config import DaemonConfig

Zygote = tuple[int, socket.socket]
"""The zygote's pid and our end of its control socket."""


TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _JsonLines(logging.Formatter):
    """One JSON object a line, with Docker's keys."""

    def format(self, record: logging.LogRecord) -> str:
        row = {"level": record.levelname.lower(), "msg": record.getMessage(), "time": self.formatTime(record)}
        if record.exc_info:
            row["error"] = self.formatException(record.exc_info)
        return json.dumps(row)


def start(arguments: Sequence[str], zygote: Zygote | None) -> int:
    """Do what the command line says; the exit status."""
    try:
        line = flags.parse(arguments)
    except flags.HelpWanted:
        sys.stdout.write(flags.usage())
        return 0
    except flags.UsageError as error:
        sys.stderr.write(f"Status: {error}\nSee 'sampand --help'., Code: 125\n")
        return 125
    if line.version:
        print(f"Sampan version {__version__}")
        return 0
    try:
        settings = config.load(line)
        if line.validate:
            print("configuration OK")
            return 0
        return _run(settings, zygote)
    except SampanError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"failed to start daemon: {error}\n")
        return 1


def _run(settings: DaemonConfig, zygote: Zygote | None) -> int:
    os.umask(0o022)
    faults.arm(os.environ.get("SAMPAN_FAULT", ""))  # for tests only
    _log_to_stderr(settings)
    settings = remap.applied(settings)
    with pidfile.held(settings.pidfile):
        import asyncio

        from .serve import serve

        asyncio.run(serve(settings, zygote))
    return 0


def _log_to_stderr(settings: DaemonConfig) -> None:
    level = "debug" if settings.settings.debug else settings.settings.log_level
    names = {"warn": "WARNING", "fatal": "CRITICAL", "panic": "CRITICAL", "trace": "DEBUG"}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if settings.settings.log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=names.get(level, level.upper()), handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
