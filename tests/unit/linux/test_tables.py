"""Tables and conversions; no system call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.linux import capabilities, signals
from sampan.linux.cgroup import Hierarchy, devices, v2

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime shared:9 - cgroup cgroup rw,devices
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup systemd rw,name=systemd
50 49 0:33 / /elsewhere/devices rw,relatime - cgroup cgroup rw,devices
"""
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "version", "hybrid", "keys"),
    [
        (V1, 1, False, {"cpu", "cpuacct", "devices", "name=systemd"}),
        (V1 + UNIFIED, 1, True, {"cpu", "cpuacct", "devices", "name=systemd"}),
        ("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", 2, False, {""}),
    ],
)
def test_hierarchies(tmp_path: Path, mountinfo: str, version: int, hybrid: bool, keys: set[str]) -> None:
    path = tmp_path / "mountinfo"
    path.write_text(mountinfo)
    found = Hierarchy.detect(str(path))
    assert (found.version, found.hybrid) == (version, hybrid)
    directories = found.directories("/a/b")
    assert set(directories) == keys
    if version == 1:
        assert directories["cpu"] == directories["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct/a/b"
        assert directories["devices"] == "/sys/fs/cgroup/devices/a/b"


@pytest.mark.parametrize(
    ("resources", "files"),
    [
        ({"memory": {"limit": 100, "swap": 150, "reservation": 50}},
         {"memory.swap.max": "50", "memory.max": "100", "memory.low": "50"}),
        ({"memory": {"limit": 100, "swap": -1}}, {"memory.swap.max": "max", "memory.max": "100"}),
        ({"memory": {"limit": -1}}, {"memory.max": "max"}),
        ({"cpu": {"shares": 1024}}, {"cpu.weight": "39"}),
        ({"cpu": {"shares": 2}}, {"cpu.weight": "1"}),
        ({"cpu": {"shares": 262144}}, {"cpu.weight": "10000"}),
        ({"cpu": {"quota": 50000}}, {"cpu.max": "50000 100000"}),
        ({"cpu": {"quota": -1, "period": 20000}}, {"cpu.max": "max 20000"}),
        ({"cpu": {"cpus": "0-1", "mems": "0"}}, {"cpuset.cpus": "0-1", "cpuset.mems": "0"}),
        ({"pids": {"limit": -1}}, {"pids.max": "max"}),
        ({"blockIO": {"weight": 1000}}, {"io.weight": "default 10000"}),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}]}}, {"io.max": "8:0 rbps=7"}),
        ({"unified": {"memory.high": "9"}}, {"memory.high": "9"}),
        ({}, {}),
    ],
)  # fmt: skip
def test_limits_of_v1_in_words_of_v2(resources: dict[str, Any], files: dict[str, str]) -> None:
    assert dict(v2.settings(resources)) == files


def test_device_rules_keep_the_basic_devices_behind_a_denial_of_all() -> None:
    deny = {"allow": False, "access": "rwm"}
    assert devices.rules([{"allow": True, "access": "rwm"}]) == [("a", None, None, "rwm", True)]
    found = devices.rules([deny, {"allow": True, "type": "c", "major": 10, "minor": -1, "access": "rw"}])
    assert found[0] == ("a", None, None, "rwm", False)
    assert ("c", 1, 3, "rwm", True) in found and found[-1] == ("c", 10, None, "rw", True)
    assert len(devices.program([deny])) % 8 == 0


def test_capability_names() -> None:
    assert capabilities.mask(["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_UNKNOWN"]) == 1 | 1 << 21
    assert capabilities.names(1 | 1 << 40) == ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"]
    assert capabilities.mask(list(capabilities.BITS)) == (1 << 41) - 1


@pytest.mark.parametrize(
    ("word", "number"), [("TERM", 15), ("sigkill", 9), ("SIGRTMIN+3", 37), ("9", 9), ("RTMAX-1", 63), ("0", 0)]
)
def test_signal_names(word: str, number: int) -> None:
    assert signals.number(word) == number


@pytest.mark.parametrize("word", ["", "SIG", "nosuch", "65", "-1", "１"])
def test_words_that_are_no_signal(word: str) -> None:
    with pytest.raises(ValueError, match="unknown signal"):
        signals.number(word)
