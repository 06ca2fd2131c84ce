"""A laboratory of network namespaces inside the test process: the test's thread plays the host.

Sockets keep the namespace that they were opened in, so hosts and containers need no processes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from ipaddress import ip_interface
from pathlib import Path

from sampan.db import Database
from sampan.linux import rtnetlink
from sampan.linux.namespaces import CLONE_NEWNET, setns, unshare
from sampan.linux.netlink import NetlinkError
from sampan.linux.rtnetlink import Route
from sampan.model.container import EndpointSettings, PortBinding
from sampan.network.config import NetworkDefaults
from sampan.network.networks import Networks
from sampan.network.sandbox import Sandbox, SandboxRequest

PATIENCE = 3.0
"""Seconds within which a connection that works is made."""
REFUSAL = 0.4
"""Seconds of silence that count as «dropped»: the lab has no latency."""


def kernel_has(kind: str) -> bool:
    """Whether there are links of that kind: the kernel says EOPNOTSUPP before anything else."""
    route = Route()
    try:
        route.request(rtnetlink.new_link("probe", kind))
    except NetlinkError as refusal:
        return refusal.errno != errno.EOPNOTSUPP
    finally:
        route.close()
    return True


def kernel_has_sctp() -> bool:
    """Whether there are sockets of that protocol."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


class Namespace:
    """A network namespace held by a descriptor; its loopback is up."""

    def __init__(self) -> None:
        maker = threading.Thread(target=self._make)
        maker.start()
        maker.join()
        self.fd: int

    def _make(self) -> None:
        unshare(CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        route = Route()
        route.request(rtnetlink.set_link(1, up=True))
        route.close()

    @contextmanager
    def inside(self) -> Iterator[None]:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        setns(self.fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
            os.close(home)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        with self.inside():
            opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened

    def route(self) -> Route:
        with self.inside():
            return Route()

    def addresses(self) -> set[str]:
        route = self.route()
        found = {str(address) for _, address in route.addresses() if not address.ip.is_loopback}
        route.close()
        return {text for text in found if not text.startswith("fe80")}

    def sysctl(self, path: str) -> str:
        with self.inside():
            return Path(f"/proc/sys/{path}").read_text().strip()

    def close(self) -> None:
        os.close(self.fd)


class Lab:
    """The host (this thread's namespace), containers, other hosts, and the engine's networks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.namespaces: list[Namespace] = []
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        unshare(CLONE_NEWNET)
        self.host = Namespace.__new__(Namespace)
        self.host.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        route = Route()
        route.request(rtnetlink.set_link(1, up=True))
        route.close()
        self.cleanup: list[socket.socket] = []

    def close(self) -> None:
        for opened in self.cleanup:
            opened.close()
        for namespace in [*self.namespaces, self.host]:
            namespace.close()
        setns(self.home, CLONE_NEWNET)
        os.close(self.home)

    def namespace(self) -> Namespace:
        made = Namespace()
        self.namespaces.append(made)
        return made

    def neighbour(self, number: int = 0, *, forward: bool = True) -> Namespace:
        """Another host on a segment with this one: 10.99.<number>.1 and fd99:<number>::1 here, .2 there."""
        other = self.namespace()
        here, there = Route(), other.route()
        here.request(rtnetlink.veth(f"up{number}", "up0", netns_fd=other.fd))
        for route, name, last in ((here, f"up{number}", 1), (there, "up0", 2)):
            link = route.link(name)
            assert link is not None
            route.request(
                rtnetlink.set_link(link.index, up=True),
                rtnetlink.address(link.index, ip_interface(f"10.99.{number}.{last}/24")),
                rtnetlink.address(link.index, ip_interface(f"fd99:{number}::{last}/64")),
            )
            route.close()
        return other

    @asynccontextmanager
    async def networks(self, **settings: object) -> AsyncIterator[Networks]:
        resolv_conf = self.directory / "resolv.conf"
        if not resolv_conf.exists():
            resolv_conf.write_text("")
        defaults = NetworkDefaults(resolv_conf=str(resolv_conf), **settings)  # type: ignore[arg-type] # passed on
        db = Database(str(self.directory / "sampan.db"))
        networks = await Networks.open(db, defaults)
        try:
            yield networks
        finally:
            await networks.close()
            db.close()

    def bridge_netfilter(self, value: str) -> None:
        """Whether bridged packets pass the firewall (a kernel without br_netfilter is as with 0)."""
        for name in ("iptables", "ip6tables"):
            path = Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}")
            if path.exists():
                path.write_text(value)

    def nft(self, *command: str) -> str:
        import subprocess

        return subprocess.run(["nft", *command], check=True, capture_output=True, text=True).stdout


def bindings(*ports: str) -> dict[str, list[PortBinding] | None]:
    """`8080:80`, `127.0.0.1:8080:80/udp` as a PortMap."""
    found: dict[str, list[PortBinding] | None] = {}
    for text in ports:
        host, container = text.rsplit(":", 1)
        address, _, port = host.rpartition(":")
        key = container if "/" in container else f"{container}/tcp"
        found.setdefault(key, [])
        found[key].append(PortBinding(host_ip=address.strip("[]"), host_port=port))  # type: ignore[union-attr] # a list
    return found


def request(
    namespace: Namespace, name: str, *networks: str, ports: tuple[str, ...] = (), **settings: object
) -> SandboxRequest:
    given = settings.pop("endpoints", None) or {network: EndpointSettings() for network in networks or ("bridge",)}
    return SandboxRequest(
        container_id=sha256(name.encode()).hexdigest(),
        name=name,
        netns_fd=namespace.fd,
        networks=given,  # type: ignore[arg-type] # as the test says
        port_bindings=bindings(*ports),
        exposed_ports=tuple(bindings(*ports)),
        **settings,  # type: ignore[arg-type] # passed on
    )


def address(sandbox: Sandbox, network: str = "bridge") -> str:
    return sandbox.endpoints[network].ip_address


@asynccontextmanager
async def server(namespace: Namespace, port: int, family: int = socket.AF_INET) -> AsyncIterator[None]:
    """Answers every TCP connection with the caller's address, then echoes."""
    opened = namespace.socket(family)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(f"{writer.get_extra_info('peername')[0]}\n".encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the caller broke off
        finally:
            writer.close()

    serving = await asyncio.start_server(answer, sock=opened)
    try:
        yield
    finally:
        serving.close()


async def call(namespace: Namespace, host: str, port: int, patience: float = PATIENCE) -> str:
    """Connect from the namespace; the address that the server saw, or the name of the error."""
    caller = namespace.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    loop = asyncio.get_running_loop()
    try:
        with caller:
            async with asyncio.timeout(patience):
                await loop.sock_connect(caller, (host, port))
                answer = await loop.sock_recv(caller, 100)
                return answer.decode().strip() or "closed"
    except (OSError, TimeoutError) as error:
        return type(error).__name__


async def echo_datagrams(
    namespace: Namespace, port: int, tag: bytes = b"", family: int = socket.AF_INET
) -> asyncio.DatagramTransport:
    """A UDP server that sends back what it gets, with a tag."""
    opened = namespace.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
            self.transport.sendto(data + tag, peer)  # type: ignore[attr-defined] # a datagram transport

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=opened)
    return transport


async def pings(namespace: Namespace, host: str, patience: float = PATIENCE) -> bool:
    """Whether the host answers an echo request (RFC 792)."""
    loop = asyncio.get_running_loop()
    body = struct.pack(">HHHH", 0x0800, 0, 7, 1)
    request = body[:2] + struct.pack(">H", ~sum(struct.unpack(">4H", body)) & 0xFFFF) + body[4:]
    with namespace.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP) as asking:
        try:
            async with asyncio.timeout(patience):
                await loop.sock_sendto(asking, request, (host, 0))
                while (answer := await loop.sock_recv(asking, 100))[20:21] != b"\0" or answer[24:28] != body[4:]:
                    pass  # what else comes over ICMP
                return True
        except (OSError, TimeoutError):
            return False


async def exchange(caller: socket.socket, target: tuple[str, int], data: bytes, patience: float = PATIENCE) -> bytes:
    """One datagram there and one back; b"" for silence."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            await loop.sock_sendto(caller, data, target)
            return (await loop.sock_recvfrom(caller, 65535))[0]
    except (OSError, TimeoutError):
        return b""


class Capture:
    """All frames that one namespace sees on its links."""

    def __init__(self, namespace: Namespace) -> None:
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL

    def frames(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(65535))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()
