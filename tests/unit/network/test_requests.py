"""Options, ports, files and filters: what is read and what is written."""

from __future__ import annotations

import pytest

from sampan.errors import InvalidArgument
from sampan.model.container import EndpointIPAMConfig, EndpointSettings, PortBinding
from sampan.network import files, filters, options, ports
from sampan.network.checks import ON_CONFIGURED, check_settings
from sampan.network.files import Overrides, ResolvConf
from sampan.network.spec import IPAM, IPAMPool, Network


def test_bridge_options() -> None:
    read = options.bridge_options({options.NAME: "br9", options.MTU: "1400", options.ICC: "false", "other": "kept"})
    assert (read.name, read.mtu, read.icc, read.masquerade) == ("br9", 1400, False, True)
    for label, value in ((options.MTU, "x"), (options.MTU, "-1"), (options.GATEWAY_MODE_IPV4, "open"),
                         (options.HOST_BINDING, "1.2.3"), (options.MASQUERADE, "yes")):  # fmt: skip
        with pytest.raises(InvalidArgument, match=f"^failed to parse {label} value: {value} "):
            options.bridge_options({label: value})


def test_endpoint_sysctls() -> None:
    # The docker client writes options in lower case.
    given = {options.ENDPOINT_SYSCTLS: "net.ipv4.conf.ifname.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2"}
    assert options.endpoint_sysctls(given, "eth1") == [
        ("net/ipv4/conf/eth1/log_martians", "1"), ("net/ipv6/conf/eth1/accept_ra", "2")]  # fmt: skip
    for bad in ("net.ipv4.conf.eth0.forwarding=1", "kernel.conf.x.IFNAME.y=1", "net.ipv4.conf.IFNAME.a/../b=1", "x"):
        with pytest.raises(InvalidArgument, match="unrecognised network interface sysctl"):
            options.endpoint_sysctls({options.ENDPOINT_SYSCTLS: bad}, "eth0")


def test_port_requests() -> None:
    binding = PortBinding(host_ip="127.0.0.1", host_port="8000-8010")
    found = ports.requests({"80/tcp": [binding], "53/udp": None}, ("53/udp", "443/tcp"), publish_all=True)
    assert [(one.key, str(one.host), one.first, one.last) for one in found] == [
        ("53/udp", "None", 0, 0), ("80/tcp", "127.0.0.1", 8000, 8010), ("443/tcp", "None", 0, 0)]  # fmt: skip
    for key, bad in (("80/foo", binding), ("0/tcp", binding), ("x", binding), ("80/tcp", PortBinding(host_port="9-8")),
                     ("80/tcp", PortBinding(host_port="70000")), ("80/tcp", PortBinding(host_ip="1.2"))):  # fmt: skip
        with pytest.raises(InvalidArgument):
            ports.requests({key: [bad]})


def test_resolv_conf() -> None:
    host = ResolvConf.parse("# a\nnameserver 127.0.0.1\nnameserver 9.9.9.9 # b\nsearch a.b c\noptions rotate\nbad\n")
    assert host == ResolvConf(("127.0.0.1", "9.9.9.9"), ("a.b", "c"), ("rotate",))
    assert files.resolv_conf(host, Overrides(), False, ipv6=False).nameservers == ("9.9.9.9",)
    only = files.resolv_conf(ResolvConf(("127.0.0.1",)), Overrides(), False, ipv6=False)
    assert only.nameservers == files.FALLBACK
    inner = files.resolv_conf(host, Overrides(("1.1.1.1",), (".",), ("ndots:2",)), True, ipv6=False)
    assert inner == ResolvConf((files.RESOLVER,), (), ("ndots:2",))


def test_filters() -> None:
    network = Network(name="front", id="abc", created="2026-01-01T00:00:00Z", labels={"a": "1"})
    yes: list[dict[str, list[str]]] = [
        {}, {"name": ["ron"]}, {"id": ["ab"]}, {"driver": ["x", "bridge"]}, {"type": ["custom"]}, {"label": ["a"]},
        {"label": ["a=1"]}, {"dangling": ["true"]}, {"scope": ["local"]}]  # fmt: skip
    no: list[dict[str, list[str]]] = [
        {"name": ["x"]}, {"type": ["builtin"]}, {"label": ["a", "b"]}, {"label": ["a=2"]},
        {"dangling": ["0"]}]  # fmt: skip
    assert all(filters.matches(network, one, dangling=True) for one in yes)
    assert not any(filters.matches(network, one, dangling=True) for one in no)
    for bad, text in (({"foo": ["x"]}, "invalid filter 'foo'"), ({"type": ["x"]}, "invalid filter: 'type'='x'")):
        with pytest.raises(InvalidArgument, match=f"^{text}$"):
            filters.check_filters(bad)


def test_endpoint_settings_on_the_default_bridge() -> None:
    network = Network(name="bridge", id="abc", created="")
    wanted = EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address="172.17.0.99"))
    with pytest.raises(InvalidArgument) as raised:
        check_settings(network, wanted)
    assert str(raised.value) == (
        "invalid endpoint settings:\n"
        "* user specified IP address is supported on user defined networks only\n"
        "* user specified IP address is supported only when connecting to networks with user configured subnets"
    )


def test_addresses_are_checked_by_family() -> None:
    pools = IPAM(config=[IPAMPool(subnet="10.1.0.0/24")])
    network = Network(name="front", id="abc", created="", ipam=pools, user_subnets=True)
    cases = {
        ("fish", ""): "* invalid IPv4 address: fish\n* no configured subnet or ip-range contain the IP address fish",
        ("", "fd00::9"): ON_CONFIGURED,
        ("10.2.0.1", ""): "no configured subnet or ip-range contain the IP address 10.2.0.1",
    }
    for (four, six), text in cases.items():
        wanted = EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address=four, ipv6_address=six))
        with pytest.raises(InvalidArgument) as raised:
            check_settings(network, wanted)
        assert str(raised.value) == f"invalid endpoint settings:\n{text}"


def test_ports_leave_by_the_number_that_was_given() -> None:
    anything, some = PortBinding(), PortBinding(host_port="8000-8010")
    bindings = {"80/tcp": [anything], "81/tcp": [some, PortBinding(host_port="81")]}
    published = {"80/tcp": [PortBinding(host_port="49153")], "81/tcp": [PortBinding(host_port="8001")]}
    changed = ports.changed_bindings(bindings, {}, ["49153", "8001/tcp", "9", "81/udp"], published)
    assert changed == {"81/tcp": [PortBinding(host_port="81")]}
    assert ports.changed_bindings(bindings, {}, ["49153"], {}) == bindings
