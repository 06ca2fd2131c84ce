"""Networks through the stock docker client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from subprocess import PIPE, Popen
from typing import Any

from ...support.daemon import Daemon, wait_readable

WEB = ("sh", "-c", "echo hello > /index.html; exec httpd -f -p 80 -h /")


def networks_of(daemon: Daemon, container: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.ok("inspect", "-f", "{{json .NetworkSettings}}", container))
    return found


def test_user_network(daemon: Daemon, name: str) -> None:
    front, back = f"{name}-front", f"{name}-back"
    daemon.ok("network", "create", "--subnet", "10.201.0.0/24", "--label", "a=b", front)
    daemon.ok("network", "create", "--ipv6", back)
    try:
        daemon.ok("run", "-d", "--name", name, "--network", front, "--ip", "10.201.0.77", "--network-alias", "www",
                  "-p", "80", "busybox", *WEB)  # fmt: skip
        settings = networks_of(daemon, name)
        endpoint = settings["Networks"][front]
        assert (endpoint["IPAddress"], endpoint["IPPrefixLen"], endpoint["Gateway"]) == (
            "10.201.0.77",
            24,
            "10.201.0.1",
        )
        assert endpoint["DNSNames"][:2] == [name, "www"] and endpoint["Aliases"] == ["www"]
        assert endpoint["IPAMConfig"] == {"IPv4Address": "10.201.0.77"}
        assert [binding["HostIp"] for binding in settings["Ports"]["80/tcp"]] == ["0.0.0.0", "::"]
        port = settings["Ports"]["80/tcp"][0]["HostPort"]
        for host, at in ((daemon.host, "127.0.0.1"), (daemon.host, "[::1]"), (daemon.outside, "10.99.0.1"),
                         (daemon.outside, "[fd99::1]")):  # fmt: skip
            assert host.check("curl", "-sfm3", f"http://{at}:{port}/") == "hello\n", at
        assert daemon.ok("run", "--rm", "--network", front, "busybox", "wget", "-qO-", "http://www/") == "hello"
        daemon.ok("network", "connect", "--alias", "other", back, name)
        assert daemon.ok("run", "--rm", "--network", back, "busybox", "wget", "-qO-", "http://other/") == "hello"
        assert networks_of(daemon, name)["Networks"][back]["GlobalIPv6PrefixLen"] == 64
        refused = daemon.docker("network", "rm", back)
        assert f'error while removing network: network {back} has active endpoints (name:"{name}" id:' in refused.err
        daemon.ok("network", "disconnect", back, name)
        assert list(networks_of(daemon, name)["Networks"]) == [front]
        assert daemon.ok("exec", name, "cat", "/etc/resolv.conf").splitlines()[4] == "nameserver 127.0.0.11"
        assert (
            daemon.ok("network", "ls", "--filter", "label=a=b", "--format", "{{.Name}} {{.Driver}}")
            == f"{front} bridge"
        )
        shown = json.loads(daemon.ok("network", "inspect", front))[0]
        assert [member["Name"] for member in shown["Containers"].values()] == [name]
        daemon.ok("stop", "-t", "0", name)
        stopped = networks_of(daemon, name)
        assert (stopped["Ports"], stopped["Networks"][front]["IPAddress"]) == ({}, "")
        daemon.ok("start", name)
        assert networks_of(daemon, name)["Networks"][front]["IPAddress"] == "10.201.0.77"
    finally:
        daemon.docker("rm", "-f", name)
        daemon.docker("network", "rm", front, back)


def test_modes(daemon: Daemon, name: str) -> None:
    def addresses(*flags: str) -> str:
        return daemon.ok("run", "--rm", *flags, "busybox", "ip", "-o", "-4", "addr")

    assert " lo " in addresses("--network", "none") and "eth0" not in addresses("--network", "none")
    assert "10.99.0.1/24" in addresses("--network", "host")
    daemon.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
    try:
        mine = networks_of(daemon, name)["IPAddress"]
        assert f"{mine}/16" in addresses("--network", f"container:{name}")
        hosts = daemon.ok(
            "run", "--rm", "--link", f"{name}:db", "--add-host", "x:1.2.3.4", "busybox", "cat", "/etc/hosts"
        )
        assert "172.17.0.1\thost.docker.internal gateway.docker.internal" in hosts
        assert "1.2.3.4\tx" in hosts and f"{mine}\tdb " in hosts
    finally:
        daemon.docker("rm", "-f", name)


def test_refusals(daemon: Daemon, name: str) -> None:
    network = f"{name}-net"
    daemon.ok("network", "create", network)
    daemon.ok("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000")
    try:
        cases = {
            ("network", "connect", network, name): "container cannot be connected to multiple networks with one of the "
            "networks in private (none) mode",
            ("network", "connect", "none", name): f"endpoint with name {name} already exists in network none",
            ("network", "disconnect", network, name): f"is not connected to network {network}",
            ("network", "prune", "-f", "--filter", "foo=bar"): "invalid filter 'foo'",
            ("network", "ls", "--filter", "foo=bar"): "invalid filter 'foo'",
            ("network", "rm", "bridge"): "bridge is a pre-defined network and cannot be removed",
            ("network", "rm", "nonesuch"): "network nonesuch not found",
            ("run", "--rm", "--ip", "172.17.0.99", "busybox"): "invalid config for network bridge: invalid endpoint "
            "settings:\n* user specified IP address is supported on user defined networks only\n",
            ("run", "--rm", "--network", "nonesuch", "busybox"): "failed to set up container networking: network "
            "nonesuch not found",
        }
        for command, text in cases.items():
            refused = daemon.docker(*command)
            assert refused.status != 0 and text in refused.err, (command, refused)
        daemon.ok("network", "disconnect", "none", name)
        daemon.ok("network", "connect", network, name)
        assert "eth0" in daemon.ok("exec", name, "ip", "-o", "-4", "addr")
    finally:
        daemon.docker("rm", "-f", name)
        daemon.docker("network", "rm", network)


def said(connection: Popen[bytes], line: bytes) -> bytes:
    """What the other end of a connection makes of a line."""
    assert connection.stdin is not None and connection.stdout is not None
    connection.stdin.write(line)
    connection.stdin.flush()
    wait_readable(connection.stdout.fileno())
    return connection.stdout.readline()


def test_a_killed_daemon(make_daemon: Callable[..., Daemon]) -> None:
    """Connections through published ports go on, and the daemon that comes back knows all of it."""
    daemon = make_daemon()
    daemon.ok("network", "create", "front")
    daemon.ok("run", "-d", "--name", "web", "--network", "front", "-p", "8080:80", "busybox", *WEB)
    daemon.ok("run", "-d", "--name", "echo", "-p", "8081:81", "busybox", "nc", "-ll", "-p", "81", "-e", "cat")
    before = networks_of(daemon, "web")
    # Nobody announces that it listens.
    daemon.ok("exec", "echo", "sh", "-c", "until netstat -ltn | grep -q :81; do usleep 50000; done")
    held = daemon.outside.popen("busybox", "nc", "10.99.0.1", "8081", stdin=PIPE, stdout=PIPE)
    assert said(held, b"before\n") == b"before\n"
    daemon.kill()
    assert said(held, b"without\n") == b"without\n"
    daemon.start()
    assert said(held, b"after\n") == b"after\n"
    held.communicate()
    daemon.kill()
    assert daemon.outside.check("curl", "-sfm3", "http://10.99.0.1:8080/") == "hello\n"
    daemon.host.check("nft", "flush", "ruleset")
    daemon.start()
    assert networks_of(daemon, "web") == before
    assert daemon.outside.check("curl", "-sfm3", "http://10.99.0.1:8080/") == "hello\n"
    assert daemon.outside.check("curl", "-sfm3", "http://[fd99::1]:8080/") == "hello\n"
    assert daemon.ok("run", "--rm", "--network", "front", "busybox", "wget", "-qO-", "http://web/") == "hello"
    taken = daemon.docker("run", "--rm", "-p", "8080:80", "busybox", "true")
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in taken.err
    daemon.ok("rm", "-f", "web", "echo")
    daemon.ok("network", "rm", "front")
    deadline = time.monotonic() + 10
    while "vsp" in daemon.host.check("ip", "-o", "link"):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # links are deleted beside the event loop, and nobody announces that


def test_our_own_commands(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "-d", "--name", name, "busybox", *WEB)
    daemon.ok("run", "-d", "--name", f"{name}-client", "busybox", "sleep", "1000")
    try:
        changed = daemon.sampan("update", "--publish-add", "18081:80", name)
        assert changed.status == 0, changed
        assert daemon.outside.check("curl", "-sfm3", "http://10.99.0.1:18081/") == "hello\n"
        assert "18081" in daemon.ok("port", name)
        changed = daemon.sampan("update", "--publish-rm", "18081", name)
        assert changed.status == 0, changed
        assert daemon.ok("port", name) == ""
        assert daemon.outside.run("curl", "-sfm3", "http://10.99.0.1:18081/").status == 7
        assert name in daemon.sampan("network", "map").out
        assert daemon.sampan("network", "check", f"{name}-client", name, "80").status == 0
        refused = daemon.sampan("network", "check", f"{name}-client", name, "81")
        assert refused.status != 0 and f"nothing listens on port 81 in {name}" in refused.out + refused.err
    finally:
        daemon.docker("rm", "-f", name, f"{name}-client")
