"""The `sampand` command. Few imports here: the zygote is forked from this process before it grows."""

from __future__ import annotations

import os
import sys

from ..linux import prctl, sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket


def main() -> None:
    """Fork the zygote, read the configuration, serve until a signal says stop."""
    arguments = sys.argv[1:]
    if any(word in ("--help", "-h", "--version", "-v", "--validate") for word in arguments):
        sys.exit(_configure(arguments, None))
    # -I -S: `main` calls site once the zygote is forked.
    sealed.ensure(["-I", "-S", f"{os.path.dirname(os.path.abspath(__file__))}/__main__.py", *arguments])
    from ..shim import zygote

    forked = zygote.fork()
    prctl.set_name("sampand")
    if "site" not in sys.modules:
        import site

        site.main()
    sys.exit(_configure(arguments, forked))


def _configure(arguments: list[str], zygote: tuple[int, socket] | None) -> int:
    from . import imports, memory

    memory.begin()
    imports.defer()
    from .start import start

    return start(arguments, zygote)
