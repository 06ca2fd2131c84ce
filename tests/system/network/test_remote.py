"""Network and address plugins by Docker's protocol: a small one made here, a bridge by other means."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from sampan.errors import NotFound, SampanError
from sampan.linux import rtnetlink
from sampan.linux.rtnetlink import Route
from sampan.model.container import PortBinding
from sampan.network.spec import IPAM, NetworkSpec

from ...support.netlab import Lab, address, call, request, server


class Plugin:
    """NetworkDriver and IpamDriver over HTTP on a unix socket; makes veth pairs on a bridge of its own."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.addresses: set[str] = set()
        self.pools: set[str] = set()
        self.route = Route()
        self.route.request(rtnetlink.bridge("plugged"))
        self.fail = ""
        self.published: dict[str, Any] = {}
        """Ports by endpoint."""

    async def serve(self, path: Path) -> asyncio.Server:
        return await asyncio.start_unix_server(self._connection, str(path))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        body = json.loads(await reader.readexactly(length))
        method = head.split()[1].removeprefix("/")
        self.calls.append(method)
        failing, self.fail = method == self.fail, "" if method == self.fail else self.fail
        answer = {"Err": "told to fail"} if failing else self.answer(method.split(".")[1], body)
        data = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        writer.close()

    def answer(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        name = f"pl{body.get('EndpointID', '')[:8]}"
        match method:
            case "Activate":
                return {"Implements": ["NetworkDriver", "IpamDriver"]}
            case "Join":
                bridge = self.route.link("plugged")
                assert bridge is not None
                self.route.request(rtnetlink.veth(name, f"{name}p", master=bridge.index))
                return {"InterfaceName": {"SrcName": f"{name}p", "DstPrefix": "plug"}, "Gateway": "10.66.0.1"}
            case "ProgramExternalConnectivity":
                self.published[body["EndpointID"]] = body["Options"]["com.docker.network.portmap"]
            case "RevokeExternalConnectivity":
                del self.published[body["EndpointID"]]
            case "DeleteEndpoint":
                link = self.route.link(name)
                if link is not None:
                    self.route.request(rtnetlink.delete(link.index))
            case "GetDefaultAddressSpaces":
                return {"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "everywhere"}
            case "RequestPool":
                self.pools.add("p1")
                return {"PoolID": "p1", "Pool": body["Pool"] or "10.66.0.0/24"}
            case "ReleasePool":
                self.pools.discard(body["PoolID"])
            case "RequestAddress":
                free = (str(one) for one in ip_network("10.66.0.0/24").hosts() if str(one) not in self.addresses)
                given = body["Address"] or next(free)
                self.addresses.add(given)
                return {"Address": f"{given}/24"}
            case "ReleaseAddress":
                self.addresses.discard(body["Address"])
        return {}


async def test_plugins_are_called_as_docker_calls_them(lab: Lab) -> None:
    lab.bridge_netfilter("0")  # else what crosses the plugin's own bridge is forwarded, which the guard drops
    directory = lab.directory / "plugins"
    directory.mkdir()
    plugin = Plugin()
    serving = await plugin.serve(directory / "mine.sock")
    async with lab.networks(plugin_dirs=(str(directory),)) as networks:
        spec = NetworkSpec(name="theirs", driver="mine", ipam=IPAM(driver="mine"))
        network = await networks.create(spec)
        assert [pool.subnet for pool in network.ipam.config or ()] == ["10.66.0.0/24"]
        first, second = lab.namespace(), lab.namespace()
        one = await networks.attach(request(first, "first", "theirs", ports=("127.0.0.1:8080:80", "53:53/udp")))
        assert [(port["Proto"], port["Port"], port["HostIP"], port["HostPort"])
                for port in plugin.published[one.endpoints["theirs"].endpoint_id]] == [
            (17, 53, "", 53), (6, 80, "127.0.0.1", 8080)
        ], "ports are the plugin's to publish"  # fmt: skip
        await networks.publish(one.container_id, {"81/tcp": [PortBinding(host_port="8081")]}, ["53/udp"])
        told = [(port["Port"], port["HostPort"]) for port in plugin.published[one.endpoints["theirs"].endpoint_id]]
        assert told == [(80, 8080), (81, 8081)], "and its to change"
        plugin.fail = "NetworkDriver.ProgramExternalConnectivity"
        with pytest.raises(SampanError, match=r"^NetworkDriver\.ProgramExternalConnectivity: told to fail$"):
            await networks.publish(one.container_id, {"82/tcp": [PortBinding(host_port="8082")]}, [])
        told = [port["HostPort"] for port in plugin.published[one.endpoints["theirs"].endpoint_id]]
        assert told == [8080, 8081], "all or nothing"
        ports = await networks.publish(one.container_id, {}, ["8081"])
        assert sorted(ports) == ["53/udp", "80/tcp"], "what was refused is not there, what is exposed stays"
        two = await networks.attach(request(second, "second", "theirs"))
        assert (address(one, "theirs"), one.endpoints["theirs"].gateway) == ("10.66.0.2", "10.66.0.1")
        assert first.addresses() == {"10.66.0.2/24"}
        async with server(first, 80):
            assert await call(second, "10.66.0.2", 80) == "10.66.0.3"
        await networks.disconnect(two.container_id, "theirs")
        await networks.detach(one.container_id)
        async with asyncio.timeout(5):
            while plugin.published.get(one.endpoints["theirs"].endpoint_id):
                await asyncio.sleep(0.01)  # told beside the caller
        plugin.fail = "NetworkDriver.Join"
        with pytest.raises(SampanError, match=r"^NetworkDriver\.Join: told to fail$"):
            await networks.attach(request(second, "third", "theirs"))
        await networks.remove("theirs")
        async with asyncio.timeout(5):
            while plugin.addresses or plugin.pools:
                await asyncio.sleep(0.01)  # given back beside the caller
        assert (
            plugin.calls.count("NetworkDriver.DeleteEndpoint")
            == plugin.calls.count("NetworkDriver.CreateEndpoint")
            == 3
        )
        assert not [link.name for link in plugin.route.links() if link.name.startswith("pl") and link.kind == "veth"]
        with pytest.raises(NotFound, match=r'^plugin "nobody" not found$'):
            await networks.create(NetworkSpec(name="x", driver="nobody"))
    serving.close()
    plugin.route.close()
