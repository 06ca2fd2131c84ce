"""What the kernel carries is read from files that stand elsewhere on v1 and v2."""

from __future__ import annotations

from pathlib import Path

from sampan.engine import kernel
from sampan.linux.cgroup import Hierarchy


def _group(path: Path, controllers: str, *files: str) -> None:
    path.mkdir()
    for name, text in (("cgroup.controllers", controllers), ("cgroup.subtree_control", controllers)):
        (path / name).write_text(text)
    for name in files:
        (path / name).touch()


def test_v2_is_looked_at_where_controllers_are_handed_down(tmp_path: Path) -> None:
    root = tmp_path / "root"
    _group(root, "cpu io memory pids")
    _group(root / "init.scope", "memory pids", "memory.max", "memory.low", "pids.max")
    _group(root / "system.slice", "cpu io", "cpu.weight", "cpu.max", "io.bfq.weight")
    found = kernel.probe("", Hierarchy({}, str(root)))
    assert (found.version, found.memory, found.memory_reservation, found.swap_limit) == (2, True, True, False)
    assert (found.cpu_shares, found.cpu_quota, found.pids, found.cpuset) == (True, True, True, False)
    assert (found.blkio_weight, found.read_bps, found.write_iops) == (True, False, False)
    assert not (found.swappiness or found.oom_kill_disable or found.cpu_realtime or found.kernel_memory_tcp)


def test_v2_where_nobody_has_a_controller_yet(tmp_path: Path) -> None:
    root = tmp_path / "root"
    _group(root, "memory")
    found = kernel.probe("", Hierarchy({}, str(root)))
    assert (found.memory, found.swap_limit, found.pids) == (True, True, False)


def test_v2_has_the_group_that_containers_will_be_below(tmp_path: Path) -> None:
    root = tmp_path / "root"
    _group(root, "memory")
    _group(root / "sampan", "memory", "memory.max")
    found = kernel.probe("/sampan", Hierarchy({}, str(root)))
    assert (found.memory, found.swap_limit) == (True, False)


def test_v1(tmp_path: Path) -> None:
    for name in ("memory", "pids"):
        (tmp_path / name).mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").touch()
    (tmp_path / "memory" / "memory.swappiness").touch()
    found = kernel.probe("/sampan", Hierarchy({name: str(tmp_path / name) for name in ("memory", "pids")}, ""))
    assert (found.version, found.memory, found.swappiness, found.swap_limit) == (1, True, True, False)
    assert (found.pids, found.cpu_shares, found.cpuset) == (True, False, False)
    assert found.tasks > 0 and found.cpus > 0
