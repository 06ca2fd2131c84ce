"""Hosts on one switch, each with an engine's networks of its own: for overlay networks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from ipaddress import ip_interface
from pathlib import Path

from sampan.db import Database
from sampan.linux import rtnetlink
from sampan.network.config import NetworkDefaults
from sampan.network.networks import Networks
from sampan.network.sandbox import Sandbox

from .netlab import Lab, Namespace, request


class Machine:
    """A host with an engine's networks of its own; what is done to them is done inside its namespace."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.lab = lab
        self.number = number
        self.namespace = lab.namespace()
        self.cable = f"cable{number}"
        switch = lab.host.route()
        bridge = switch.link("switch")
        assert bridge is not None
        switch.request(rtnetlink.veth(self.cable, "up0", netns_fd=self.namespace.fd, master=bridge.index, mtu=1500))
        switch.close()
        route = self.namespace.route()
        link = route.link("up0")
        assert link is not None
        route.request(
            rtnetlink.set_link(link.index, up=True),
            rtnetlink.address(link.index, ip_interface(f"10.98.0.{number}/24")),
        )
        route.close()
        self.networks: Networks

    async def open(self, directory: Path) -> None:
        with self.namespace.inside():
            resolv_conf = directory / "empty"
            resolv_conf.touch()
            self.db = Database(str(directory / f"{self.number}.db"))
            self.networks = await Networks.open(self.db, NetworkDefaults(resolv_conf=str(resolv_conf)))
        self.networks._sandboxes.peer_names.enter = self.namespace.inside

    async def close(self) -> None:
        await self.networks.close()
        self.db.close()

    async def come_back(self, *running: tuple[Namespace, Sandbox]) -> None:
        """A daemon that starts again finds its containers."""
        await self.open(self.lab.directory)
        assert self.networks.warnings == []
        with self.namespace.inside():
            await self.networks.restore(
                [request(inside, sandbox.name, endpoints=sandbox.endpoints) for inside, sandbox in running]
            )

    async def run(self, name: str) -> tuple[Namespace, Sandbox]:
        inside = self.lab.namespace()
        with self.namespace.inside():
            return inside, await self.networks.attach(request(inside, name, "wide"))

    def plug(self, up: bool) -> None:
        route = self.lab.host.route()
        link = route.link(self.cable)
        assert link is not None
        route.request(rtnetlink.set_link(link.index, up=up))
        route.close()


async def machines(lab: Lab, stack: AsyncExitStack, number: int) -> list[Machine]:
    """That many of them, opened: 10.98.0.1, 10.98.0.2, …"""
    route = lab.host.route()
    route.request(rtnetlink.bridge("switch"))
    route.close()
    made = [Machine(lab, one) for one in range(1, number + 1)]
    for machine in made:
        await machine.open(lab.directory)
        stack.push_async_callback(machine.close)
    return made


async def bulk(caller: Namespace, host: str, data: bytes = b"legible " * 37_500) -> int:
    """Send much to the server on port 80, which echoes; how much came back."""
    opened = caller.socket()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        await loop.sock_connect(opened, (host, 80))
        reader, writer = await asyncio.open_connection(sock=opened)
        await reader.readline()
        writer.write(data)
        found = len(await reader.readexactly(len(data)))
        writer.close()
        return found
