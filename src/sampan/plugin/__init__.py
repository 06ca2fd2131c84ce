"""Docker's plugin protocol: JSON over HTTP on a unix socket or TCP, to programs that others wrote.

A plugin is found by name (https://docs.docker.com/engine/extend/plugin_api/): a socket `/run/docker/plugins/NAME.sock`
(or in a directory NAME/), a `NAME.spec` file with an address, or a `NAME.json` file with `Addr` and `TLSConfig`, below
`/etc/docker/plugins` or `/usr/lib/docker/plugins`.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import SampanError, Unavailable

SOCKET_DIRECTORIES = ("/run/docker/plugins",)
SPEC_DIRECTORIES = ("/etc/docker/plugins", "/usr/lib/docker/plugins")
_TYPE = "application/vnd.docker.plugins.v1.2+json"
_MOST = 8 << 20
_SECONDS = 30.0


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


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("plugin", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Plugin:
    """One plugin; calls block, for 30 seconds or what they say: make them in a thread."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self._address = address

    def implements(self) -> list[str]:
        """What it says that it is: `VolumeDriver`, `NetworkDriver`, `IpamDriver`."""
        return list(self.call("Plugin.Activate", {}).get("Implements") or [])

    def call(self, method: str, body: dict[str, Any], seconds: float = _SECONDS) -> dict[str, Any]:
        """One call → its answer; Unavailable where the plugin is not there, SampanError with what it complains of."""
        connection = self._connection(seconds)
        try:
            headers = {"Accept": _TYPE, "Content-Type": "application/json"}
            connection.request("POST", f"/{method}", msgspec.json.encode(body), headers)
            response = connection.getresponse()
            data = response.read(_MOST)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{method}: plugin {self.name}: {error}") from error
        finally:
            connection.close()
        return _answer(method, response.status, data)

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        kind, _, rest = self._address.url.partition("://")
        if kind == "unix":
            return _UnixConnection(rest, seconds)
        if self._address.tls:
            return http.client.HTTPSConnection(rest, timeout=seconds, context=_tls(self._address.tls))
        return http.client.HTTPConnection(rest, timeout=seconds)


def _answer(method: str, status: int, data: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data, type=dict[str, Any]) if data.strip() else {}
    except msgspec.DecodeError:
        answer = {"Err": data[:200].decode(errors="replace")}
    if status == 200 and not answer.get("Err"):
        return answer
    raise SampanError(f"{method}: {answer.get('Err') or f'status {status}'}")


def _tls(files: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.get("CAFile") or None)
    if files.get("CertFile"):
        context.load_cert_chain(files["CertFile"], files.get("KeyFile") or None)
    if files.get("InsecureSkipVerify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
