"""The hosts of overlay networks in etcd (its JSON gateway, API v3): who takes part, and which part each host has.

    /sampan/overlay/<network>/config        {"Subnets": […], "VNI": …, "Port": …}    by the first host
    /sampan/overlay/<network>/hosts/<part>  the host's address; its number is its part of the subnets

Places are claimed by transactions ("create only"), so that no two hosts get the same one. They have no lease: a host
that cannot be seen keeps its part, for its containers may be up. Removing the network on a host gives its place back.
"""

from __future__ import annotations

import base64
import http.client
from urllib.parse import urlsplit

import msgspec

from ..errors import InvalidArgument, SampanError, Unavailable

PREFIX = "/sampan/overlay"
SECONDS = 5.0


class Config(msgspec.Struct, rename={"subnets": "Subnets", "vni": "VNI", "port": "Port"}, frozen=True):
    """What all hosts of a network agree on."""

    subnets: list[str]
    vni: int
    port: int


def _pack(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _unpack(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


class _Pair(msgspec.Struct):
    key: str = ""
    value: str = ""


class _Range(msgspec.Struct):
    kvs: list[_Pair] = msgspec.field(default_factory=list)


class _Transaction(msgspec.Struct):
    succeeded: bool = False


class KeyValue:
    """One etcd, or several members of one cluster: the first that answers. Calls block: make them in a thread."""

    def __init__(self, urls: str) -> None:
        self._urls = [url.strip().rstrip("/") for url in urls.split(",") if url.strip()]
        for url in self._urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise InvalidArgument(f"invalid key-value store: {url}")
        if not self._urls:
            raise InvalidArgument("the option kv names no key-value store")

    def _call(self, method: str, body: dict[str, object]) -> bytes:
        failure: Exception | None = None
        for url in self._urls:
            parts = urlsplit(url)
            maker = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = maker(parts.hostname or "", parts.port or 2379, timeout=SECONDS)
            try:
                connection.request("POST", f"/v3/kv/{method}", msgspec.json.encode(body))
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                failure = error
                continue
            finally:
                connection.close()
            if response.status == 200:
                return data
            failure = SampanError(f"status {response.status}: {data[:200].decode(errors='replace')}")
        raise Unavailable(f"key-value store {self._urls[0]}: {failure}")

    def read(self, prefix: str) -> dict[str, str]:
        """All keys that begin so."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        data = self._call("range", {"key": _pack(prefix), "range_end": _pack(end)})
        try:
            return {_unpack(pair.key): _unpack(pair.value) for pair in msgspec.json.decode(data, type=_Range).kvs}
        except (msgspec.DecodeError, ValueError) as error:
            raise Unavailable(f"key-value store {self._urls[0]}: {error}") from error

    def claim(self, key: str, value: str) -> bool:
        """Write a key that does not exist yet; whether it did not."""
        compare = {"key": _pack(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}
        put = {"request_put": {"key": _pack(key), "value": _pack(value)}}
        data = self._call("txn", {"compare": [compare], "success": [put]})
        return msgspec.json.decode(data, type=_Transaction).succeeded

    def delete(self, key: str) -> None:
        """Delete one key."""
        self._call("deleterange", {"key": _pack(key)})

    def agree(self, network: str, wanted: Config) -> Config:
        """The network's configuration: ours if we are the first, else what was agreed on."""
        key = f"{PREFIX}/{network}/config"
        if self.claim(key, msgspec.json.encode(wanted).decode()):
            return wanted
        try:
            return msgspec.json.decode(self.read(key)[key], type=Config)
        except (KeyError, msgspec.DecodeError) as error:
            raise SampanError(f"network {network} is not readable in the key-value store: {error}") from error

    def join(self, network: str, address: str, parts: int) -> int:
        """This host's part: the one that it has already, or the first that is free."""
        hosts = self.hosts(network)
        for part, holder in hosts.items():
            if holder == address:
                return part
        for part in range(parts):
            if part not in hosts and self.claim(f"{PREFIX}/{network}/hosts/{part}", address):
                return part
        raise SampanError(f"network {network} has {parts} hosts already")

    def hosts(self, network: str) -> dict[int, str]:
        """The addresses of a network's hosts, by part."""
        prefix = f"{PREFIX}/{network}/hosts/"
        found = self.read(prefix)
        return {int(key[len(prefix) :]): value for key, value in found.items() if key[len(prefix) :].isdigit()}

    def leave(self, network: str, part: int) -> None:
        """Give the part back; the last host takes the configuration along."""
        self.delete(f"{PREFIX}/{network}/hosts/{part}")
        if not self.hosts(network):
            self.delete(f"{PREFIX}/{network}/config")
