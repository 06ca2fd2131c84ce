"""The `sampand` command. Few imports here: the zygote is forked from this process before it grows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..linux import sealed

if TYPE_CHECKING:
    from socket import socket


def main() -> None:
    """Fork the zygote, read the configuration, serve until a signal says stop."""
    arguments = sys.argv[1:]
    if any(word in ("--help", "-h", "--version", "-v", "--validate") for word in arguments):
        sys.exit(_configure(arguments, None))
    sealed.ensure()
    from ..shim import zygote

    sys.exit(_configure(arguments, zygote.fork()))


def _configure(arguments: list[str], zygote: tuple[int, socket] | None) -> int:
    from .start import start

    return start(arguments, zygote)
