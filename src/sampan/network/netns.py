"""Work inside a container's network namespace, from the thread that asks: namespaces(7), setns(2)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface, IPv6Interface

from msgspec import Struct

from ..linux import rtnetlink
from ..linux.namespaces import CLONE_NEWNET, setns
from ..linux.rtnetlink import Request, Route
from .ipam import IPAddress, IPInterface


class Interface(Struct, frozen=True):
    """How a link inside a container is set up. `sysctls` are (path below /proc/sys, value)."""

    name: str
    addresses: tuple[IPInterface, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    mac: str = ""


class Gateway(Struct, frozen=True):
    """A default route: through `address`, or straight onto the link where that is None."""

    interface: str
    version: int
    address: IPAddress | None


class Setup(Struct, frozen=True):
    """One visit's worth of work; in this order."""

    loopback: bool = False
    interfaces: tuple[Interface, ...] = ()
    old_gateways: tuple[Gateway, ...] = ()
    gateways: tuple[Gateway, ...] = ()


class Namespaces:
    """Knows the way home; for one thread."""

    def __init__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Forget the way home."""
        os.close(self._home)

    @contextmanager
    def inside(self, netns_fd: int) -> Iterator[None]:
        """The thread is in that namespace; sockets that are opened stay in it. Never await inside."""
        setns(netns_fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(self._home, CLONE_NEWNET)

    def set_up(self, netns_fd: int, setup: Setup) -> None:
        """Configure links that are in the namespace already."""
        with self.inside(netns_fd):
            for interface in setup.interfaces:
                write_sysctls(interface.sysctls)
            # An ioctl costs a tenth of RTM_GETLINK, which tells all there is to a link.
            indexes = {name: socket.if_nametoindex(name) for name in _names(setup)}
            route = Route()
        try:
            requests = _requests(setup, indexes)
            if requests:
                route.request(*requests)
        finally:
            route.close()


def _names(setup: Setup) -> set[str]:
    routes = (*setup.old_gateways, *setup.gateways)
    return {interface.name for interface in setup.interfaces} | {route.interface for route in routes}


def _requests(setup: Setup, indexes: dict[str, int]) -> list[Request]:
    requests = [rtnetlink.set_link(1, up=True)] if setup.loopback else []
    for interface in setup.interfaces:
        number = indexes[interface.name]
        requests.append(rtnetlink.set_link(number, up=True, mac=interface.mac))
        requests += [rtnetlink.address(number, address) for address in interface.addresses]
    requests += [
        rtnetlink.no_route(indexes[old.interface], old.address, version=old.version) for old in setup.old_gateways
    ]
    requests += [rtnetlink.route(indexes[new.interface], new.address, version=new.version) for new in setup.gateways]
    return requests


def write_sysctls(settings: Iterable[tuple[str, str]]) -> None:
    """Write below /proc/sys, as the namespace that the thread is in shows it; what is so already may be read-only."""
    for path, value in settings:
        try:
            with open(f"/proc/sys/{path}", "w") as file:
                file.write(value)
        except OSError:
            if read_sysctl(path) != value:
                raise


def read_sysctl(path: str) -> str:
    """A value below /proc/sys; empty where the kernel has no such setting."""
    try:
        with open(f"/proc/sys/{path}") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def address_text(interface: IPv4Interface | IPv6Interface | None) -> str:
    """`172.17.0.2/16`, or nothing."""
    return str(interface) if interface is not None else ""
