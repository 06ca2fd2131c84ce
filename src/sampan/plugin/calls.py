"""Calling a plugin: one JSON document there, one back."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any

import msgspec

from ..errors import SampanError, Unavailable
from . import Address, Unsupported

_TYPE = "application/vnd.docker.plugins.v1.2+json"
_MOST = 8 << 20
_SECONDS = 30.0


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
        """One call → its answer; Unavailable where the plugin is not there, Unsupported where it does not know the
        method, SampanError with what it complains of."""
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
    kind = Unsupported if status == 404 else SampanError
    raise kind(f"{method}: {answer.get('Err') or f'status {status}'}")


def _tls(files: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.get("CAFile") or None)
    if files.get("CertFile"):
        context.load_cert_chain(files["CertFile"], files.get("KeyFile") or None)
    if files.get("InsecureSkipVerify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
