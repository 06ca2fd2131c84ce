"""Encrypted overlay networks: ESP (RFC 4303) between this host and its peers, done by the kernel.

Everything on an encrypted network's two UDP ports (tunnel, names) is either protected or dropped, in both directions:
policies for each peer say so, and behind them others drop what comes from or goes to anybody else. They stand in the
kernel's IPsec database, not in a firewall that another program may flush, and they are there before the tunnel is.
The keys follow from a secret that all hosts were given, so there is no key exchange that could fail; they last as long
as the secret does.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping

from msgspec import Struct

from ..errors import InvalidArgument, NotImplementedHere
from ..linux.xfrm import (
    XFRM_POLICY_IN,
    XFRM_POLICY_OUT,
    Request,
    Selector,
    State,
    Xfrm,
    add_state,
    delete_policy,
    delete_state,
    set_policy,
)
from .ipam import IPAddress

ENCRYPTED = ("encrypted", "com.docker.network.driver.overlay.encrypted")
PSK, PSK_FILE = "psk", "psk-file"
ENCRYPTED_PORT = 4794
"""Not VXLAN's own: what is on the port is what is encrypted."""
OVERHEAD = 58
"""Bytes that ESP adds at most: its header 8, the vector 16, padding 16 and 2, the checksum 16."""
SHORTEST_SECRET = 16
OWNER = 0x53610000
"""With the port, of whose states are ours; others may have some between the same hosts."""
PROTECT, DROP = 1000, 2000
"""Priorities of policies: the lower number is asked first."""


class Protected(Struct, frozen=True):
    """What one network needs protected."""

    local: IPAddress
    port: int
    secret: str
    peers: frozenset[IPAddress]


def is_encrypted(options: Mapping[str, str]) -> bool:
    """Whether `-o encrypted` was given; `false` takes it back, as with Docker."""
    given = [options[name] for name in ENCRYPTED if name in options]
    return any(text.lower() not in ("false", "0") for text in given)


def secret_of(options: Mapping[str, str]) -> str:
    """The secret, from the option or the file that it names."""
    if PSK in options and PSK_FILE in options:
        raise InvalidArgument("the options psk and psk-file exclude each other")
    secret = options.get(PSK, "")
    if PSK_FILE in options:
        try:
            with open(options[PSK_FILE], encoding="utf-8") as file:
                secret = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"the key of an encrypted overlay network cannot be read: {error}") from error
    if len(secret.encode()) < SHORTEST_SECRET:
        raise InvalidArgument(
            f"encrypted overlay networks need a secret of {SHORTEST_SECRET} bytes or more, the same on all hosts: "
            "psk=… or psk-file=…"
        )
    return secret


def state(source: IPAddress, destination: IPAddress, port: int, secret: str) -> State:
    """One direction; both hosts come to the same keys (as HKDF does, RFC 5869, with a label for each)."""
    root = hmac.digest(b"sampan overlay", secret.encode(), "sha256")

    def derived(what: str) -> bytes:
        return hmac.digest(root, f"{what} {source} {destination} {port}".encode(), "sha256")

    spi = int.from_bytes(derived("index")[:4], "big") | 0x100  # up to 255 is reserved (RFC 4303, 2.1)
    return State(source, destination, spi, OWNER | port, derived("cipher"), derived("authentication"))


def _selectors(source: IPAddress | None, destination: IPAddress | None, version: int, port: int) -> list[Selector]:
    """To the tunnel's port and to that for names, and answers from the latter."""
    return [
        Selector(source, destination, version, destination_port=port),
        Selector(source, destination, version, destination_port=port + 1),
        Selector(source, destination, version, source_port=port + 1),
    ]


class Encryption:
    """The kernel's states and policies for all encrypted networks of this host."""

    def __init__(self) -> None:
        self._xfrm: Xfrm | None = None
        self._networks: dict[str, Protected] = {}

    def close(self) -> None:
        """Let go; what is protected stays so."""
        if self._xfrm is not None:
            self._xfrm.close()

    def _socket(self) -> Xfrm:
        if self._xfrm is None:
            self._xfrm = Xfrm()
        return self._xfrm

    def protect(self, network_id: str, wanted: Protected) -> None:
        """Before there is a tunnel, and when its peers change. NotImplementedHere where the kernel lacks ESP.

        What was set up before a failure stays until `release`: it may drop packets, but lets none out in clear.
        """
        old = self._networks.get(network_id)
        self._networks[network_id] = wanted
        try:
            self._install(wanted)
        except OSError as error:
            raise NotImplementedHere(
                "encrypted overlay networks are not available, and are refused rather than sent in clear: "
                f"the kernel does not do ESP ({error.strerror})"
            ) from error
        if old is not None:
            self._forget(old, old.peers - wanted.peers)

    def _install(self, wanted: Protected) -> None:
        socket = self._socket()
        socket.request(*_barrier(wanted.local, wanted.port))
        for peer in wanted.peers:
            for one in _states(wanted, peer):
                socket.forget(delete_state(one))
                socket.request(add_state(one))
            socket.request(*_agreed(wanted, peer))
        self._forget_old_keys(wanted)

    def _forget_old_keys(self, wanted: Protected) -> None:
        """Of a secret that an earlier run of the daemon had: the policies let nothing pass by them."""
        pairs = {frozenset((wanted.local, peer)) for peer in wanted.peers}
        current = {(one.destination, one.spi) for peer in wanted.peers for one in _states(wanted, peer)}
        for one in self._socket().states():
            ours = one.owner == OWNER | wanted.port and frozenset((one.source, one.destination)) in pairs
            if ours and (one.destination, one.spi) not in current:
                self._socket().forget(delete_state(one))

    def release(self, network_id: str) -> None:
        """The tunnel is gone."""
        old = self._networks.pop(network_id, None)
        if old is None or self._xfrm is None:
            return
        self._forget(old, old.peers)
        if not any((one.local, one.port) == (old.local, old.port) for one in self._networks.values()):
            self._socket().forget(*(delete_policy(chosen, way) for chosen, way in _barred(old.local, old.port)))

    def _forget(self, old: Protected, peers: frozenset[IPAddress]) -> None:
        kept = {(one.local, one.port, peer) for one in self._networks.values() for peer in one.peers}
        for peer in peers:
            if (old.local, old.port, peer) not in kept:
                # The barrier stays: without a policy for the peer its packets are dropped.
                self._socket().forget(*(delete_policy(chosen, way) for chosen, way, _ in _ways(old, peer)))
                self._socket().forget(*(delete_state(one) for one in _states(old, peer)))


def _states(network: Protected, peer: IPAddress) -> tuple[State, State]:
    local, port, secret = network.local, network.port, network.secret
    return state(local, peer, port, secret), state(peer, local, port, secret)


def _ways(network: Protected, peer: IPAddress) -> Iterator[tuple[Selector, int, State]]:
    there, back = _states(network, peer)
    for chosen in _selectors(network.local, peer, peer.version, network.port):
        yield chosen, XFRM_POLICY_OUT, there
    for chosen in _selectors(peer, network.local, peer.version, network.port):
        yield chosen, XFRM_POLICY_IN, back


def _agreed(network: Protected, peer: IPAddress) -> list[Request]:
    return [set_policy(chosen, way, through, PROTECT) for chosen, way, through in _ways(network, peer)]


def _barred(local: IPAddress, port: int) -> Iterator[tuple[Selector, int]]:
    for chosen in _selectors(local, None, local.version, port):
        yield chosen, XFRM_POLICY_OUT
    for chosen in _selectors(None, local, local.version, port):
        yield chosen, XFRM_POLICY_IN


def _barrier(local: IPAddress, port: int) -> list[Request]:
    return [set_policy(chosen, way, None, DROP) for chosen, way in _barred(local, port)]
