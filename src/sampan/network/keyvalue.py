"""The hosts of overlay networks in etcd (its JSON gateway, API v3): who takes part, and which part each host has.

    /sampan/overlay/<network>/config        {"Subnets": […], "VNI": …, "Port": …}    by the first host
    /sampan/overlay/<network>/hosts/<part>  the host's address; its number is its part of the subnets

Places are claimed by transactions ("create only"), so that no two hosts get the same one. They have no lease: a host
that cannot be seen keeps its part, for its containers may be up. Removing the network on a host gives its place back.

The store is spoken to as etcdctl does: `kv-cacert`, `kv-cert`, `kv-key` name PEM files for https, `kv-user` and
`kv-password-file` a user of it. The network keeps the names of the files; what is in them is read when it is needed.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from ..errors import InvalidArgument, SampanError, Unavailable

if TYPE_CHECKING:
    from http.client import HTTPConnection

KV, CA, CERTIFICATE, KEY = "kv", "kv-cacert", "kv-cert", "kv-key"
USER, PASSWORD_FILE = "kv-user", "kv-password-file"
PREFIX = "/sampan/overlay"
SECONDS = 5.0
UNAUTHORIZED = 401


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


class _Token(msgspec.Struct):
    token: str


_Answer = TypeVar("_Answer", _Range, _Transaction, _Token)


class KeyValue:
    """One etcd, or several members of one cluster: the first that answers. Calls block: make them in a thread."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._urls = [urlsplit(url.strip()) for url in options[KV].split(",") if url.strip()]
        for url in self._urls:
            if url.scheme not in ("http", "https") or not url.hostname:
                raise InvalidArgument(f"invalid key-value store: {url.geturl()}")
        if not self._urls:
            raise InvalidArgument("the option kv names no key-value store")
        if (CERTIFICATE in options) != (KEY in options) or (USER in options) != (PASSWORD_FILE in options):
            raise InvalidArgument("kv-cert goes with kv-key, and kv-user with kv-password-file")
        self._token = ""

    def _call(self, method: str, body: dict[str, object]) -> bytes:
        """Ask the members in turn; a token that has run out is replaced once."""
        for _ in range(2):
            if USER in self._options and not self._token:
                self._token = self._log_in()
            status, data = self._post(f"kv/{method}", body)
            if status != UNAUTHORIZED or not self._token:
                break
            self._token = ""
        return self._granted(status, data)

    def _log_in(self) -> str:
        try:
            with open(self._options[PASSWORD_FILE], encoding="utf-8") as file:
                password = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"the password for the key-value store cannot be read: {error}") from error
        answer = self._granted(*self._post("auth/authenticate", {"name": self._options[USER], "password": password}))
        return self._decoded(answer, _Token).token

    def _granted(self, status: int, data: bytes) -> bytes:
        if status != 200:
            raise self._failure(f"status {status}: {data[:200].decode(errors='replace')}")
        return data

    def _failure(self, reason: object) -> Unavailable:
        return Unavailable(f"key-value store {self._urls[0].geturl()}: {reason}")

    def _decoded(self, data: bytes, kind: type[_Answer]) -> _Answer:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise self._failure(error) from error

    def _post(self, method: str, body: dict[str, object]) -> tuple[int, bytes]:
        """(status, body) of the first member that answers."""
        from http.client import HTTPException

        failure: Exception | None = None
        answer: tuple[int, bytes] | None = None
        headers = {"Authorization": self._token} if self._token else {}
        for url in self._urls:
            connection = self._connection(url)
            try:
                connection.request("POST", f"/v3/{method}", msgspec.json.encode(body), headers)
                response = connection.getresponse()
                answer = response.status, response.read()
            except (OSError, HTTPException) as error:
                failure = error
            finally:
                connection.close()
            if answer is not None and answer[0] < 500:  # else it has lost the others: one of them may know
                break
        if answer is None:
            raise self._failure(failure)
        return answer

    def _connection(self, url: SplitResult) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection  # with the mail parser that it needs: 1 MB

        host, port = url.hostname or "", url.port or 2379
        if url.scheme == "http":
            return HTTPConnection(host, port, timeout=SECONDS)
        try:
            context = ssl.create_default_context(cafile=self._options.get(CA))
            if CERTIFICATE in self._options:
                context.load_cert_chain(self._options[CERTIFICATE], self._options[KEY])
        except OSError as error:  # ssl.SSLError is one too
            raise InvalidArgument(f"the certificates for the key-value store cannot be used: {error}") from error
        return HTTPSConnection(host, port, timeout=SECONDS, context=context)

    def read(self, prefix: str) -> dict[str, str]:
        """All keys that begin so."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        data = self._call("range", {"key": _pack(prefix), "range_end": _pack(end)})
        try:
            return {_unpack(pair.key): _unpack(pair.value) for pair in self._decoded(data, _Range).kvs}
        except ValueError as error:
            raise self._failure(error) from error

    def claim(self, key: str, value: str) -> bool:
        """Write a key that does not exist yet; whether it did not."""
        compare = {"key": _pack(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}
        put = {"request_put": {"key": _pack(key), "value": _pack(value)}}
        data = self._call("txn", {"compare": [compare], "success": [put]})
        return self._decoded(data, _Transaction).succeeded

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
