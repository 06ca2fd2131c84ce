"""What systemd is asked for a container's scope, and how its answers are taken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sampan.linux import kernellog
from sampan.linux.cgroup import Hierarchy, named, scope, systemd
from tests.support.systembus import Systemd

INFINITY = (1 << 64) - 1


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
        ("a-b.slice:cri:1", "/a.slice/a-b.slice/cri-1.scope"),
        ("-.slice:x:1", "/x-1.scope"),
        (":runc:id", "/system.slice/runc-id.scope"),
        ("a.slice::own.slice", "/a.slice/own.slice"),
        ("/system.slice:docker:abc", "/system.slice:docker:abc"),
        ("/plain/path", "/plain/path"),
    ],
)
def test_where_a_group_lies(name: str, path: str) -> None:
    group = named(name)
    assert (group.name, group.path) == (name, path)


@pytest.mark.parametrize("name", ["a", "a/b.slice", ".slice", "-a.slice", "a--b.slice", "a-.slice"])
def test_what_is_no_slice(name: str) -> None:
    with pytest.raises(ValueError, match="invalid slice name"):
        scope.slice_path(name)


@pytest.mark.parametrize(
    ("resources", "v1", "v2"),
    [
        ({}, {}, {}),
        ({"memory": {"limit": 100, "swap": 300, "reservation": 50}},
         {"MemoryLimit": 100}, {"MemorySwapMax": 200, "MemoryMax": 100, "MemoryLow": 50}),
        ({"memory": {"limit": 100, "swap": -1}}, {"MemoryLimit": 100}, {"MemorySwapMax": INFINITY, "MemoryMax": 100}),
        ({"cpu": {"shares": 512}}, {"CPUShares": 512}, {"CPUWeight": 20}),
        ({"cpu": {"quota": 50000}}, {"CPUQuotaPerSecUSec": 500000}, {"CPUQuotaPerSecUSec": 500000}),
        ({"cpu": {"quota": 1001, "period": 20000}}, {"CPUQuotaPeriodUSec": 20000, "CPUQuotaPerSecUSec": 60000},
         {"CPUQuotaPeriodUSec": 20000, "CPUQuotaPerSecUSec": 60000}),
        ({"cpu": {"quota": -1}}, {"CPUQuotaPerSecUSec": INFINITY}, {"CPUQuotaPerSecUSec": INFINITY}),
        ({"cpu": {"cpus": "0,2-3", "mems": "9"}}, {}, {"AllowedCPUs": b"\x0d", "AllowedMemoryNodes": b"\x00\x02"}),
        ({"blockIO": {"weight": 10}}, {"BlockIOWeight": 10}, {"IOWeight": 1}),
        ({"pids": {"limit": 7}}, {"TasksMax": 7}, {"TasksMax": 7}),
        ({"pids": {"limit": -1}}, {"TasksMax": INFINITY}, {"TasksMax": INFINITY}),
    ],
)  # fmt: skip
def test_limits_as_properties(resources: dict[str, Any], v1: dict[str, Any], v2: dict[str, Any]) -> None:
    for version, wanted in ((1, v1), (2, v2)):
        assert {name: value for name, (_, value) in scope.properties(resources, version)} == wanted


def test_devices_as_properties() -> None:
    def rule(kind: str, major: int | None, minor: int | None, allow: bool = True) -> dict[str, Any]:
        return {"type": kind, "major": major, "minor": minor, "access": "rw", "allow": allow}

    denied = rule("a", None, None, False)
    assert scope.device_properties([]) == []
    assert scope.device_properties([denied, rule("a", None, None)]) == []
    policy, (_, (_, allowed)) = scope.device_properties(
        [denied, rule("b", 7, 0), rule("c", 1, None), rule("b", 4095, None), rule("c", 10, 200, False)]
    )
    assert policy == ("DevicePolicy", ("s", "strict"))
    assert {
        ("block-*", "m"),
        ("char-*", "m"),
        ("/dev/char/1:3", "rwm"),
        ("/dev/block/7:0", "rw"),
        ("char-mem", "rw"),
    } <= {*allowed}
    assert not any("10:200" in path or "4095" in path or not path for path, _ in allowed)


def test_a_unit_is_made_changed_and_stopped(tmp_path: Path) -> None:
    with Systemd(tmp_path / "bus") as peer:
        with systemd.Manager(str(tmp_path / "bus")) as manager:
            manager.start("a.scope", [("PIDs", ("au", [1]))])
            manager.set_properties("a.scope", [("TasksMax", ("t", 5))])
            manager.stop("a.scope")
            manager.stop("a.scope")
        assert peer.calls == [
            ("StartTransientUnit", ("a.scope", "replace", [("PIDs", ("au", [1]))], [])),
            ("SetUnitProperties", ("a.scope", True, [("TasksMax", ("t", 5))])),
            ("StopUnit", ("a.scope", "replace")),
            ("ResetFailedUnit", ("a.scope",)),
            ("StopUnit", ("a.scope", "replace")),
            ("ResetFailedUnit", ("a.scope",)),
        ]


def test_a_unit_that_was_left_gives_way(tmp_path: Path) -> None:
    with Systemd(tmp_path / "bus") as peer, systemd.Manager(str(tmp_path / "bus")) as manager:
        peer.units.add("a.scope")
        manager.start("a.scope", [])
        assert [method for method, _ in peer.calls] == [
            "StartTransientUnit",
            "StopUnit",
            "ResetFailedUnit",
            "StartTransientUnit",
        ]


def test_failures_are_told(tmp_path: Path) -> None:
    with Systemd(tmp_path / "bus") as peer, systemd.Manager(str(tmp_path / "bus")) as manager:
        peer.failing.add("a.scope")
        with pytest.raises(
            systemd.SystemdFailed, match=r"^unable to start unit 'a.scope': StartTransientUnit: job is failed$"
        ):
            manager.start("a.scope", [])


def test_without_a_message_bus_systemds_own_socket_serves(tmp_path: Path) -> None:
    with Systemd(tmp_path / "private", private=True) as peer:
        with systemd.Manager(str(tmp_path / "none"), str(tmp_path / "private")) as manager:
            manager.start("a.scope", [])
        assert peer.units == {"a.scope"}
    with pytest.raises(OSError, match="No such file"):
        systemd.Manager(str(tmp_path / "none"), str(tmp_path / "nothing"))


def test_a_scope_is_asked_for_with_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "SYSTEM_BUS", str(tmp_path / "bus"))
    hierarchy = Hierarchy({}, str(tmp_path / "cgroup"))
    (tmp_path / "cgroup").mkdir()
    for name in ("cgroup.controllers", "cgroup.subtree_control"):
        (tmp_path / "cgroup" / name).write_text("")
    with Systemd(tmp_path / "bus") as peer:
        group = scope.Scope("-.slice:x:1", hierarchy)
        assert group.open_new() == -1
        assert group.start(77, {"pids": {"limit": 5}, "devices": [{"type": "a", "allow": False, "access": "rwm"}]})
        group.update({"pids": {"limit": 6}})
        group.remove()
    ((_, (unit, _, given, _)), *others) = peer.calls
    properties = {name: value for name, (_, value) in given}
    assert unit == "x-1.scope" and not (tmp_path / "cgroup/x-1.scope").exists()
    assert {
        "Slice": "-.slice",
        "Delegate": True,
        "PIDs": [77],
        "TasksMax": 5,
        "DefaultDependencies": False,
    }.items() <= (properties.items())
    assert properties["DevicePolicy"] == "strict"
    assert [method for method, _ in others] == ["SetUnitProperties", "StopUnit", "ResetFailedUnit"]


def test_a_kill_for_memory_is_found_in_the_kernels_log(tmp_path: Path) -> None:
    log, stamp = tmp_path / "kmsg", time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) // 1000
    name, now = "/a.slice/x-1.scope", time.time_ns()
    log.write_text(
        f"4,12,{stamp},-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg={name},task_memcg={name}/b,task=tail\n"
    )
    assert kernellog.has_oom_kill(name, now - 10**7, str(log))
    assert kernellog.has_oom_kill(f"{name}/b", now - 10**7, str(log))
    assert not kernellog.has_oom_kill(name, now + 10**9, str(log))
    assert not kernellog.has_oom_kill(name.removesuffix("e"), now - 10**7, str(log))
    assert not kernellog.has_oom_kill(name, now, str(tmp_path / "none"))
