"""`sampan update` with what only a new container can have: all kept, or all put back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..support.daemon import Daemon


def inspect(daemon: Daemon, name: str) -> dict[str, Any]:
    (found,) = json.loads(daemon.ok("inspect", name))
    assert isinstance(found, dict)
    return found


def test_changes_keep_everything_else(daemon: Daemon, name: str, tmp_path: Path) -> None:
    daemon.ok("network", "create", name)
    daemon.ok("tag", "busybox", f"{name}:next")
    daemon.ok("run", "-d", "--name", name, "--network", name, "--network-alias", "front", "-v", f"{name}:/named",
              "-v", "/anonymous", "-e", "A=1", "-e", "B=2", "-l", "drop=1", "-m", "64m", "--restart", "always",
              "-p", "127.0.0.1::80", "--stop-timeout", "0", "busybox", "sh", "-c",
              "date > /anonymous/made; while :; do echo $A | nc -l -p 80; done")  # fmt: skip
    old = inspect(daemon, name)
    done = daemon.sampan(
        "update", "-e", "A=new", "-e", "B", "--label", "drop", "--label", "tier=web", "--image", f"{name}:next",
        "--mount-add", f"type=bind,source={tmp_path},target=/host,readonly", name,
    )  # fmt: skip
    assert (done.status, done.out) == (0, f"{name}\n"), done
    new = inspect(daemon, name)
    assert new["Id"] != old["Id"] and new["Name"] == old["Name"] and new["State"]["Running"]
    assert new["Config"]["Image"] == f"{name}:next"
    assert "A=new" in new["Config"]["Env"] and not any(one.startswith("B=") for one in new["Config"]["Env"])
    assert new["Config"]["Labels"] == {"tier": "web"}
    assert new["HostConfig"]["RestartPolicy"] == old["HostConfig"]["RestartPolicy"]
    assert new["HostConfig"]["Memory"] == 64 << 20
    before, after = (one["NetworkSettings"]["Networks"][name] for one in (old, new))
    assert (after["IPAddress"], after["MacAddress"]) == (before["IPAddress"], before["MacAddress"])
    assert "front" in after["Aliases"]
    volumes = {point["Destination"]: point.get("Name", "") for point in new["Mounts"]}
    assert volumes == {"/host": "", **{point["Destination"]: point["Name"] for point in old["Mounts"]}}
    assert daemon.ok("exec", name, "cat", "/anonymous/made")
    assert "80/tcp" in new["NetworkSettings"]["Ports"] and new["NetworkSettings"]["Ports"]["80/tcp"]
    assert inspect(daemon, old["Id"][:12])["Id"] == new["Id"]
    assert daemon.ok("ps", "-aq", "--filter", f"name={name}").count("\n") == 0
    assert daemon.sampan("update", "--mount-rm", "/host", name).status == 0
    assert "/host" not in {point["Destination"] for point in inspect(daemon, name)["Mounts"]}
    daemon.ok("rm", "-fv", name)
    assert daemon.ok("volume", "ls", "-q", "--filter", f"name={volumes['/anonymous']}") == ""
    daemon.ok("volume", "rm", name)
    daemon.ok("network", "rm", name)
    daemon.ok("rmi", f"{name}:next")


def test_an_unhealthy_change_is_taken_back(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "-d", "--name", name, "--stop-timeout", "0", "--health-cmd", "echo broken; test -z $BAD",
              "--health-interval", "200ms", "--health-retries", "1", "busybox", "sleep", "1000")  # fmt: skip
    old = inspect(daemon, name)
    address = old["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    refused = daemon.sampan("update", "-e", "BAD=1", name)
    assert refused.status == 1 and "is unhealthy after its change: broken" in refused.err
    kept = inspect(daemon, name)
    assert kept["Id"] == old["Id"] and kept["State"]["Running"] and "BAD=1" not in kept["Config"]["Env"]
    assert kept["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == address
    assert daemon.sampan("update", "-e", "GOOD=1", name).status == 0
    assert inspect(daemon, name)["State"]["Health"]["Status"] == "healthy"
    daemon.ok("rm", "-f", name)


def test_a_stopped_container_stays_stopped(daemon: Daemon, name: str) -> None:
    daemon.ok("create", "--name", name, "busybox", "true")
    assert daemon.sampan("update", "-e", "A=1", "--restart", "on-failure:3", name).status == 0
    changed = inspect(daemon, name)
    assert changed["State"]["Status"] == "created" and "A=1" in changed["Config"]["Env"]
    assert changed["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    missing = daemon.sampan("update", "--image", "nosuch", name)
    assert missing.status == 1 and "No such image: nosuch:latest" in missing.err
    daemon.ok("rm", name)


def test_a_daemon_that_dies_rolls_back_or_completes(make_daemon: Callable[..., Daemon]) -> None:
    """Before the change is committed all is put back, files and `--rm` too; afterwards only the old one has to go."""
    daemon = make_daemon()
    daemon.ok(
        "run", "-d", "--rm", "--name", "web", "--stop-timeout", "0", "-v", "/anonymous", "busybox", "sleep", "1000"
    )
    daemon.ok("exec", "web", "sh", "-c", "echo data > /mine; echo data > /anonymous/mine")
    old = inspect(daemon, "web")["Id"]
    for point, committed in (("stopped", False), ("swapped", False), ("committed", True)):
        daemon.kill()
        daemon.start(env={"SAMPAN_FAULT": f"engine.recreate.{point}=kill"})
        assert daemon.sampan("update", "-e", f"AT={point}", "web").status != 0
        daemon.stop_waiting()
        daemon.start()
        found = inspect(daemon, "web")
        assert (found["Id"] == old, f"AT={point}" in found["Config"]["Env"]) == (not committed, committed), point
        assert daemon.ok("ps", "-q", "--no-trunc") == found["Id"] == daemon.ok("ps", "-aq", "--no-trunc")
        assert daemon.ok("exec", "web", "cat", "/mine", "/anonymous/mine") == "data\ndata", point
