"""`network map` and `network check`."""

from __future__ import annotations

from sampan.linux import rtnetlink
from sampan.network import options
from sampan.network.spec import NetworkSpec

from ...support.netlab import Lab, request, server


async def test_map_and_check(lab: Lab) -> None:
    async with lab.networks() as networks:
        for spec in (NetworkSpec(name="front"), NetworkSpec(name="inner", internal=True),
                     NetworkSpec(name="quiet", options={options.ICC: "false"})):  # fmt: skip
            await networks.create(spec)
        web, db, vault, one, two = (lab.namespace() for _ in range(5))
        await networks.attach(request(web, "web", "front", ports=("8080:80",)))
        await networks.attach(request(db, "db", "front"))
        await networks.attach(request(vault, "vault", "inner"))
        await networks.attach(request(one, "one", "quiet"))
        await networks.attach(request(two, "two", "quiet"))
        front = next(network for network in networks.inspection.map() if network.name == "front")
        assert [member.name for member in front.members] == ["web", "db"]
        assert front.members[0].ports == ["0.0.0.0:8080->80/tcp", ":::8080->80/tcp"]

        check = networks.inspection.check
        async with server(web, 80):
            found = await check("db", "web", 80)
            assert (found.reachable, found.probed, found.reason) == (True, True, "")
            assert found.path[0] == "db" and "front" in found.path[1]
            by_port = await check("one", "web", 80)
            assert by_port.reachable and by_port.path[1] == "host 172.20.0.1:8080"
        reasons = {
            ("db", "web", 80): "nothing listens on port 80 in web",
            ("vault", "web", None): "vault is on internal networks only, and shares none with web",
            ("web", "vault", 80): "web and vault share no network (front and inner are isolated by chain "
            "`nat-entrance` of table inet sampan), and vault does not publish port 80",
            ("one", "two", None): "network quiet has enable_icc=false: its containers reach each other only by "
            "published ports (set `within` of table inet sampan)",
        }
        for (source, target, port), reason in reasons.items():
            found = await check(source, target, port)
            assert (found.reachable, found.reason) == (False, reason)
        link = networks._route.link(networks._sandboxes.find("db").endpoints["front"].link)  # type: ignore[union-attr] # it runs
        assert link is not None
        networks._route.request(rtnetlink.set_link(link.index, up=False))
        assert (await check("web", "db", None)).reason == f"the link {link.name} of db is down"


async def test_check_with_the_hosts_own_network(lab: Lab) -> None:
    alone = {options.GATEWAY_MODE_IPV4: "isolated"}
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front"))
        await networks.create(NetworkSpec(name="alone", internal=True, options=alone))
        web, lost = lab.namespace(), lab.namespace()
        await networks.attach(request(lab.host, "hosted", "host"))
        await networks.attach(request(lab.host, "other", "host"))
        await networks.attach(request(web, "web", "front"))
        await networks.attach(request(lost, "lost", "alone"))
        check = networks.inspection.check
        async with server(web, 80), server(lab.host, 90):
            for source, target, port in (("hosted", "web", 80), ("web", "hosted", 90), ("hosted", "other", 90)):
                found = await check(source, target, port)
                assert (found.reachable, found.probed, found.reason) == (True, True, ""), (source, target)
            assert (await check("hosted", "web", 80)).path[1:] == [
                "host 172.18.0.1", f"network front ({networks._store.get('front').link})", "web 172.18.0.2"
            ]  # fmt: skip
        assert (await check("hosted", "web", 80)).reason == "nothing listens on port 80 in web"
        for source, target in (("hosted", "lost"), ("lost", "hosted")):
            found = await check(source, target, 80)
            text = f"{source} and {target} do not meet: the host has no address on alone"
            assert (found.reachable, found.reason) == (False, text)
