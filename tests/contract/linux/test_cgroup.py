"""One contract for control groups of v1 and v2; v2 lives beside v1 in a hybrid layout."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator

import pytest

from sampan.linux.cgroup import Cgroup, Hierarchy
from tests.support.leaks import CGROUP_PARENT

_NUMBERS = itertools.count()
_RULES = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"},
    {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "w"},
]


def hierarchies() -> dict[str, Hierarchy]:
    present = Hierarchy.detect()
    found = {f"v{present.version}": present}
    if present.hybrid:
        found["v2"] = Hierarchy({}, present.unified)
    return found


@pytest.fixture(params=hierarchies())
def group(request: pytest.FixtureRequest) -> Iterator[Cgroup]:
    made = Cgroup(f"{CGROUP_PARENT}/unit-{os.getpid()}-{next(_NUMBERS)}", hierarchies()[request.param])
    made.create()
    yield made
    made.kill()
    made.remove()
    assert not made.exists()


@pytest.fixture
def process(group: Cgroup) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "600"])
    group.add(child.pid)
    yield child
    child.kill()
    child.wait()


def test_a_process_is_added_listed_and_killed(group: Cgroup, process: subprocess.Popen[bytes]) -> None:
    group.create()  # again: what is there is no error
    assert group.pids() == [process.pid]
    below = Cgroup(f"{group.path}/below", group.hierarchy)
    below.create()
    below.add(process.pid)
    assert group.pids() == [process.pid] and group.pids(recursive=False) == []
    group.kill()
    assert process.wait(10) == -9
    assert group.pids() == [] and group.oom_count() == 0


def test_freezing_holds_and_thawing_lets_go(group: Cgroup, process: subprocess.Popen[bytes]) -> None:
    group.freeze()
    assert group.is_frozen()
    group.thaw()
    assert not group.is_frozen()
    group.freeze()
    group.kill()  # a frozen group is killed as well
    assert process.wait(10) == -9


def test_device_rules_bite(group: Cgroup) -> None:
    group.apply({"devices": _RULES})
    group.apply({"devices": _RULES})  # replaces, does not pile up
    script = """
    dd if=/dev/zero of=/dev/null bs=1 count=1 2>/dev/null && echo basic
    (: > /dev/zero) 2>/dev/null || echo later-wins
    (: < /dev/kmsg) 2>/dev/null && echo granted
    (: >> /dev/kmsg) 2>/dev/null || echo half
    (: < /dev/loop-control) 2>/dev/null || echo refused
    """
    directories = " ".join(f"{path}/cgroup.procs" for path in group.directories.values())
    enter = f"for f in {directories}; do echo $$ > $f; done; exec 2>/dev/null; {script}"
    done = subprocess.run(["sh", "-c", enter], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["basic", "later-wins", "granted", "half", "refused"]


def test_entering_and_renaming(group: Cgroup) -> None:
    """A process that moves itself; on v1 the group can then change its name with the process inside."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        group.enter()
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    deadline = 200
    while group.pids() != [pid] and deadline:
        deadline -= 1
        os.sched_yield()
        subprocess.run(["true"], check=True)  # lets the child run
    assert group.pids() == [pid]
    if group.hierarchy.version == 1:
        renamed = group.rename(f"{group.path}-new")
        assert renamed.pids() == [pid] and not group.exists()
        assert renamed.rename(group.path).pids() == [pid]
    os.close(writer)
    os.waitpid(pid, 0)


def test_figures_have_one_shape(group: Cgroup, process: subprocess.Popen[bytes]) -> None:
    warnings = group.apply({"pids": {"limit": 5}, "memory": {"limit": 64 << 20}})
    stat = group.stat()
    assert stat.cpu_total >= 0 and stat.cpu_throttled_periods == 0
    if not warnings:
        assert (stat.pids_current, stat.pids_limit, stat.memory_limit) == (1, 5, 64 << 20)
    else:
        assert all("this kernel has no" in warning for warning in warnings)
