"""Docker's plugin protocol: JSON over HTTP on a unix socket or TCP, to programs that others wrote.

A plugin is found by name (https://docs.docker.com/engine/extend/plugin_api/): a socket `/run/docker/plugins/NAME.sock`
(or in a directory NAME/), a `NAME.spec` file with an address, or a `NAME.json` file with `Addr` and `TLSConfig`, below
`/etc/docker/plugins` or `/usr/lib/docker/plugins`. Finding is here; `calls` is loaded where there is one to be called.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import SampanError

SOCKET_DIRECTORIES = ("/run/docker/plugins",)
SPEC_DIRECTORIES = ("/etc/docker/plugins", "/usr/lib/docker/plugins")


class Unsupported(SampanError):
    """The plugin does not know the method (HTTP 404); some need not be known."""


class Address(msgspec.Struct):
    """Where a plugin listens: `unix:///path` or `tcp://host:port`, with TLS files for the latter."""

    url: str
    tls: dict[str, Any] | None = None


class _Spec(msgspec.Struct):
    addr: str = msgspec.field(default="", name="Addr")
    tls: dict[str, Any] | None = msgspec.field(default=None, name="TLSConfig")


class Directories:
    """Where plugins are looked for."""

    def __init__(self, sockets: Sequence[str] = SOCKET_DIRECTORIES, specs: Sequence[str] = SPEC_DIRECTORIES) -> None:
        self._sockets = sockets
        self._specs = specs

    def names(self) -> list[str]:
        """All that can be found, for `docker info`."""
        found = set()
        for directory in (*self._sockets, *self._specs):
            for entry in os.listdir(directory) if os.path.isdir(directory) else ():
                base, extension = os.path.splitext(entry)
                if extension in (".sock", ".spec", ".json"):
                    found.add(base)
                elif os.path.exists(f"{directory}/{entry}/{entry}.sock"):
                    found.add(entry)
        return sorted(found)

    def find(self, name: str) -> Address | None:
        """The address of the plugin of that name, or None."""
        if not name or "/" in name or name.startswith("."):
            return None
        for directory in self._sockets:
            for path in (f"{directory}/{name}.sock", f"{directory}/{name}/{name}.sock"):
                if os.path.exists(path):
                    return Address(f"unix://{path}")
        for directory in self._specs:
            for extension in ("spec", "json"):
                for path in (f"{directory}/{name}.{extension}", f"{directory}/{name}/{name}.{extension}"):
                    if os.path.exists(path):
                        return _read_spec(path)
        return None


def _read_spec(path: str) -> Address:
    with open(path, "rb") as file:
        data = file.read(1 << 16)
    if path.endswith(".spec"):
        return Address(data.decode().strip())
    spec = msgspec.json.decode(data, type=_Spec)
    return Address(spec.addr, spec.tls)
