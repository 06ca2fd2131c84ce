"""What limits do, checked through the API on any `Site`: each check is written once and holds on cgroup v1 and v2."""

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from .sites import Site

MEMORY = 32 << 20


def create(site: Site, *command: str, **host: Any) -> str:
    body = {"Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": "none", **host}}
    created = site.api("POST", "/containers/create", body)
    identity: str = created["Id"]
    return identity


@contextlib.contextmanager
def running(site: Site, *command: str, **host: Any) -> Iterator[str]:
    """A container that runs `command`, removed at the end."""
    container = create(site, *command, **host)
    try:
        site.api("POST", f"/containers/{container}/start")
        yield container
    finally:
        site.api("DELETE", f"/containers/{container}?force=1&v=1")


def finish(site: Site, container: str) -> dict[str, Any]:
    """Wait for the end; the container's state."""
    site.api("POST", f"/containers/{container}/wait")
    state: dict[str, Any] = site.api("GET", f"/containers/{container}/json")["State"]
    return state


def output(site: Site, *command: str, **host: Any) -> str:
    """What a container with a terminal's plain output says before it ends."""
    with running(site, *command, **host) as container:
        finish(site, container)
        text = site.api("GET", f"/containers/{container}/logs?stdout=1&stderr=1")
        return "".join(character for character in str(text) if character.isprintable() or character == "\n")


def memory_hog(site: Site) -> None:
    """A hog is killed by the kernel, and that is told: in its state, its exit code and an event."""
    hog = "cat /sys/fs/cgroup/memory.max 2>/dev/null; tail -c 200m /dev/zero"
    with running(site, "sh", "-c", hog, Memory=MEMORY, MemorySwap=MEMORY) as container:
        state = finish(site, container)
        assert (state["OOMKilled"], state["ExitCode"]) == (True, 137), state
        filters = urllib.parse.quote(json.dumps({"container": [container], "event": ["oom", "die"]}))
        until = site.run("date", "+%s").out.strip()
        told = site.api("GET", f"/events?since=0&until={int(until) + 1}&filters={filters}").splitlines()
        assert [json.loads(line)["Action"] for line in told] == ["oom", "die"], told


def fork_bomb(site: Site) -> None:
    """S12: the limit of processes holds a bomb; without a word there is one that leaves the machine half its pids."""
    with running(site, "sleep", "1000", PidsLimit=64) as container:
        body = {"Cmd": ["sh", "-c", "while :; do sleep 1000 & done"]}
        bomb = site.api("POST", f"/containers/{container}/exec", body)["Id"]
        site.api("POST", f"/exec/{bomb}/start", {"Detach": True})
        deadline = time.monotonic() + 60
        while (running_now := int(site.limit(container, "pids.current", "pids.current"))) < 63:
            assert time.monotonic() < deadline, running_now
        assert running_now <= 64 and site.limit(container, "pids.max", "pids.max") == "64"
        assert site.run("true").status == 0
    with running(site, "sleep", "1000") as container:
        most = min(int(site.read(f"/proc/sys/kernel/{name}")) for name in ("pid_max", "threads-max"))
        assert 0 < int(site.limit(container, "pids.max", "pids.max")) <= most // 2


def _cpu_figures(site: Site, group: dict[str, str]) -> tuple[float, float, int, int]:
    """(uptime, CPU seconds used, periods, throttled periods)."""
    directory = group[""] if site.version == 2 else group["cpu"]
    usage = f"{directory}/cpu.stat" if site.version == 2 else f"{group['cpuacct']}/cpuacct.usage"
    out = site.run("sh", "-c", f"cut -d' ' -f1 /proc/uptime; cat {usage} {directory}/cpu.stat").out.split()
    figures = (
        dict(zip(out[1::2], out[2::2], strict=False))
        if site.version == 2
        else dict(zip(out[2::2], out[3::2], strict=False))
    )
    used = int(figures["usage_usec"]) / 1e6 if site.version == 2 else int(out[1]) / 1e9
    return float(out[0]), used, int(figures["nr_periods"]), int(figures["nr_throttled"])


def cpu_quota(site: Site) -> None:
    """Half a CPU is half a CPU within 5 %, by the kernel's own clocks.

    On a machine that has less to give than the quota only the upper bound can be seen: then periods pass unthrottled.
    """
    with running(site, "sh", "-c", "while :; do :; done", NanoCpus=500_000_000) as container:
        group = site.group(container)
        before = _cpu_figures(site, group)
        site.run("sleep", "4")
        after = _cpu_figures(site, group)
        time_, used, periods, throttled = (late - early for late, early in zip(after, before, strict=True))
        share = used / time_
        assert share < 0.525, share
        assert share > 0.475 or throttled < 0.95 * periods, (share, periods, throttled)


_RATE, _OPERATIONS = 1 << 20, 20
_COPY = (
    "for n in 1 2 3 4; do dd if={source} of={target} bs={block} count={count} {flag}=direct 2>/dev/null & done; wait"
)
_TRAFFIC = (
    # HostConfig's field, its rate, the direction, size of a block, blocks of each of four programs
    ("BlkioDeviceReadBps", _RATE, "read", 1 << 18, 3),
    ("BlkioDeviceWriteBps", _RATE, "write", 1 << 18, 3),
    ("BlkioDeviceReadIOps", _OPERATIONS, "read", 4096, 15),
    ("BlkioDeviceWriteIOps", _OPERATIONS, "write", 4096, 15),
)


@contextlib.contextmanager
def loop_device(site: Site) -> Iterator[str]:
    """A loop device of 6 MiB on the machine."""
    file = f"/var/tmp/limits-{os.getpid()}.img"
    make = f"mkdir -p /var/tmp; dd if=/dev/zero of={file} bs=1M count=6 2>/dev/null"
    made = site.run("sh", "-c", f"modprobe loop 2>/dev/null; {make} && losetup -f && losetup -f {file}")
    assert made.status == 0, made
    device = made.out.strip().splitlines()[-1]
    try:
        yield device
    finally:
        site.run("losetup", "-d", device)
        site.run("rm", "-f", file)


def block_rates(site: Site) -> None:
    """Reading and writing past the cache, four at a time so that some request always waits, goes at the limits' pace.

    The first tenth of a second is the throttle's first slice (block/blk-throttle.c), which passes at once. On a machine
    where the programs themselves take long, only the upper bound can be seen.
    """
    with loop_device(site) as device, contextlib.ExitStack() as stack:
        containers = []
        for field, rate, direction, block, count in _TRAFFIC:
            reads = direction == "read"
            ends = {"source": device, "target": "/dev/null"} if reads else {"source": "/dev/zero", "target": device}
            copy = _COPY.format(**ends, block=block, count=count, flag="iflag" if reads else "oflag")
            given = {"PathOnHost": device, "PathInContainer": device, "CgroupPermissions": "rw"}
            host = {field: [{"Path": device, "Rate": rate}], "Devices": [given]}
            containers.append(stack.enter_context(running(site, "sh", "-c", f"time sh -c '{copy}'", **host)))
        for container, (field, rate, _, block, count) in zip(containers, _TRAFFIC, strict=True):
            state = finish(site, container)
            text = str(site.api("GET", f"/containers/{container}/logs?stdout=1&stderr=1"))
            assert state["ExitCode"] == 0, text
            real, user, kernel = (_seconds(text, word) for word in ("real", "user", "sys"))
            found = 4 * count * (1 if field.endswith("IOps") else block) / real
            assert found < rate * 1.1, (field, found, text)
            assert found > rate * 0.9 or user + kernel > real / 10, (field, found, text)


def _seconds(text: str, word: str) -> float:
    """One of the times that the shell's `time` tells."""
    minutes, seconds = text.split(word)[1].split()[:2]
    return float(minutes.rstrip("m")) * 60 + float(seconds.rstrip("s"))


def cpuset(site: Site) -> None:
    assert "Cpus_allowed_list:\t0\n".replace("\t", "") in output(
        site, "grep", "Cpus_allowed_list", "/proc/self/status", CpusetCpus="0"
    ).replace("\t", "")


def devices(site: Site) -> None:
    """A device that was not given is denied by the kernel, one that was given is not, and for what it was given."""
    site.run("sh", "-c", "modprobe loop")
    read, write = "mknod /k b 7 0 && head -c0 /k && echo opened", "mknod /k b 7 0 && : >> /k"
    assert "not permitted" in output(site, "sh", "-c", read)
    assert "opened" in output(site, "sh", "-c", read, DeviceCgroupRules=["b 7:* rm"])
    assert "not permitted" in output(site, "sh", "-c", write, DeviceCgroupRules=["b 7:* rm"])
    assert "opened" in output(site, "sh", "-c", read, Privileged=True)


def pause(site: Site) -> None:
    """A paused container that writes stands still, goes on afterwards, and can be killed where it stands."""
    with running(site, "sh", "-c", "while :; do echo x >> /n; done") as container:
        pid = site.api("GET", f"/containers/{container}/json")["State"]["Pid"]
        for _ in range(3):
            site.api("POST", f"/containers/{container}/pause")
            state = site.api("GET", f"/containers/{container}/json")["State"]
            assert (state["Status"], state["Paused"]) == ("paused", True)
            before = site.run("wc", "-c", f"/proc/{pid}/root/n").out
            site.run("sleep", "0.2")
            assert site.run("wc", "-c", f"/proc/{pid}/root/n").out == before
            site.api("POST", f"/containers/{container}/unpause")
            assert site.api("GET", f"/containers/{container}/json")["State"]["Status"] == "running"
            deadline = time.monotonic() + 60
            while site.run("wc", "-c", f"/proc/{pid}/root/n").out == before:
                assert time.monotonic() < deadline, before
        site.api("POST", f"/containers/{container}/pause")
        site.api("POST", f"/containers/{container}/kill")
        assert finish(site, container)["ExitCode"] == 137


_UPDATES: tuple[tuple[dict[str, Any], dict[str, str], dict[str, str]], ...] = (
    # What is asked for, and what the control files of v1 and v2 say then.
    ({"Memory": 2 * MEMORY, "MemorySwap": 4 * MEMORY, "MemoryReservation": MEMORY},
     {"memory.limit_in_bytes": str(2 * MEMORY), "memory.memsw.limit_in_bytes": str(4 * MEMORY),
      "memory.soft_limit_in_bytes": str(MEMORY)},
     {"memory.max": str(2 * MEMORY), "memory.swap.max": str(2 * MEMORY), "memory.low": str(MEMORY)}),
    ({"Memory": MEMORY, "MemorySwap": -1}, {"memory.limit_in_bytes": str(MEMORY)},
     {"memory.max": str(MEMORY), "memory.swap.max": "max"}),
    ({"CpuShares": 512, "CpuPeriod": 50000, "CpuQuota": 25000},
     {"cpu.shares": "512", "cpu.cfs_period_us": "50000", "cpu.cfs_quota_us": "25000"},
     {"cpu.weight": "20", "cpu.max": "25000 50000"}),
    ({"CpuQuota": -1}, {"cpu.cfs_quota_us": "-1"}, {"cpu.max": "max 50000"}),
    ({"CpusetCpus": "0", "CpusetMems": "0"}, {"cpuset.cpus": "0", "cpuset.mems": "0"},
     {"cpuset.cpus": "0", "cpuset.mems": "0"}),
    ({"PidsLimit": 50}, {"pids.max": "50"}, {"pids.max": "50"}),
    ({"PidsLimit": -1}, {"pids.max": "max"}, {"pids.max": "max"}),
)  # fmt: skip

_REFUSED: tuple[tuple[dict[str, int], int], ...] = (
    ({"Memory": 1 << 20}, 400),
    ({"Memory": MEMORY}, 409),  # without a word on swap, which is not set
    ({"CpuQuota": 50000}, 409),  # where NanoCpus is set
)


def update(site: Site) -> None:
    """Limits of a running container change where it runs, and so does its restart policy; a refusal changes nothing."""
    with running(site, "sleep", "1000", Memory=MEMORY) as container, running(site, "sleep", "1000") as other:
        for changed, v1, v2 in _UPDATES:
            site.api("POST", f"/containers/{container}/update", changed)
            wanted = v2 if site.version == 2 else v1
            assert {name: site.limit(container, name, name) for name in wanted} == wanted
        site.api("POST", f"/containers/{other}/update", {"NanoCpus": 250_000_000, "RestartPolicy": {"Name": "always"}})
        quota = site.limit(other, "cpu.cfs_quota_us", "cpu.max")
        assert quota == ("25000 100000" if site.version == 2 else "25000")
        for refused, status in _REFUSED:
            body = json.dumps(refused).encode()
            assert site.request("POST", f"/containers/{other}/update", body, "application/json").status == status
        host = site.api("GET", f"/containers/{other}/json")["HostConfig"]
        assert (host["Memory"], host["NanoCpus"], host["RestartPolicy"]["Name"]) == (0, 250_000_000, "always")
        site.api("POST", f"/containers/{other}/update", {"RestartPolicy": {"Name": "no"}})


_V2_MEMORY = {"anon", "file", "inactive_file", "active_file", "slab", "pgfault", "pgmajfault", "thp_fault_alloc"}
_V1_MEMORY = {"cache", "rss", "total_inactive_file", "total_rss", "hierarchical_memory_limit", "pgpgin", "pgfault"}


def stats(site: Site) -> None:
    """The fields that Docker's client computes its columns from, and those that only one version of groups has."""
    write = "dd if=/dev/zero of=/n bs=4k count=64 2>/dev/null; exec sleep 1000"
    with running(site, "sh", "-c", write, Memory=MEMORY, PidsLimit=9) as container:
        deadline = time.monotonic() + 60
        while (figures := site.api("GET", f"/containers/{container}/stats?stream=0"))["pids_stats"]["current"] != 1:
            assert time.monotonic() < deadline, figures
        assert figures["pids_stats"]["limit"] == 9
        memory, cpu, before = figures["memory_stats"], figures["cpu_stats"], figures["precpu_stats"]
        assert memory["limit"] == MEMORY and memory["usage"] > 0
        assert ("max_usage" in memory) == (site.version == 1)
        assert (_V2_MEMORY if site.version == 2 else _V1_MEMORY) <= set(memory["stats"])
        assert cpu["cpu_usage"]["total_usage"] >= before["cpu_usage"]["total_usage"] > 0
        assert cpu["system_cpu_usage"] > before["system_cpu_usage"] > 0 and cpu["online_cpus"] > 0
        assert ("percpu_usage" in cpu["cpu_usage"]) == (site.version == 1)
        assert set(cpu["throttling_data"]) == {"periods", "throttled_periods", "throttled_time"}
        blkio = figures["blkio_stats"]
        assert (blkio["io_serviced_recursive"] is None) == (site.version == 2), blkio


def _exec(site: Site, container: str, *command: str) -> str:
    body = {"Cmd": command, "AttachStdout": True, "Tty": True}
    identity = site.api("POST", f"/containers/{container}/exec", body)["Id"]
    return str(site.api("POST", f"/exec/{identity}/start", {"Tty": True}))


_NESTED = """
mkdir /sys/fs/cgroup/inner && echo 0 > /sys/fs/cgroup/inner/cgroup.procs &&
echo +pids > /sys/fs/cgroup/cgroup.subtree_control && exec sleep 1000
"""


def execute(site: Site) -> None:
    """A program that is started later sits in the container's control group; on v2 beside init where that is deeper."""
    with running(site, "sleep", "1000") as container:
        text = _exec(site, container, "cat", "/proc/self/cgroup")
        private = site.version == 2  # a control group namespace of its own shows it as the root
        assert ("0::/\r" in text) if private else (container in text), text
    if site.version == 2:
        with running(site, "sh", "-c", _NESTED, Privileged=True, CgroupnsMode="private") as container:
            deadline = time.monotonic() + 60
            while "0::/inner\r" not in (text := _exec(site, container, "cat", "/proc/self/cgroup")):
                assert time.monotonic() < deadline, text


def recovery(site: Site) -> None:
    """A daemon that is killed finds its containers again, paused ones as well, and their limits."""
    with running(site, "sleep", "1000", Memory=MEMORY) as container, running(site, "sleep", "1000") as frozen:
        site.api("POST", f"/containers/{frozen}/pause")
        site.kill()
        site.start()
        state = site.api("GET", f"/containers/{container}/json")["State"]
        assert state["Status"] == "running", state
        assert site.api("GET", f"/containers/{frozen}/json")["State"]["Status"] == "paused"
        assert site.limit(container, "memory.limit_in_bytes", "memory.max") == str(MEMORY)
        site.api("POST", f"/containers/{frozen}/unpause")


def group_is_removed(site: Site) -> None:
    """Nothing of a container stays in any hierarchy."""
    with running(site, "sleep", "1000") as container:
        directories = set(site.group(container).values())
        held = [path for path in directories if container in path]
        assert held
    deadline = time.monotonic() + 10
    while any(site.run("test", "-e", path).status == 0 for path in held):
        assert time.monotonic() < deadline, held


def information(site: Site) -> None:
    info = site.api("GET", "/info")
    assert (info["CgroupVersion"], info["CgroupDriver"]) == (str(site.version), site.driver)
    assert info["MemoryLimit"] and info["CpuCfsQuota"] and info["PidsLimit"] and info["CPUSet"]
    assert info["OomKillDisable"] == (site.version == 1)


def _properties(site: Site, unit: str) -> dict[str, str]:
    names = "Slice,Delegate,MemoryMax,TasksMax,CPUQuotaPerSecUSec,DevicePolicy,ActiveState"
    lines = site.run("systemctl", "show", unit, "-p", names).out.splitlines()
    return dict(line.split("=", 1) for line in lines)


def scope(site: Site) -> None:
    """systemd knows the container's limits and devices, keeps them when it reloads, and forgets it at the end."""
    read = "mknod /k b 7 0 && head -c0 /k || echo refused; exec sleep 1000"
    host = {"Memory": MEMORY, "PidsLimit": 77, "NanoCpus": 500_000_000, "CgroupParent": "limits-inner.slice"}
    with running(site, "sh", "-c", read, **host) as container:
        unit = f"sampan-{container}.scope"
        found = _properties(site, unit)
        assert found == {"Slice": "limits-inner.slice", "Delegate": "yes", "MemoryMax": str(MEMORY), "TasksMax": "77",
                         "CPUQuotaPerSecUSec": "500ms", "DevicePolicy": "strict", "ActiveState": "active"}  # fmt: skip
        assert site.group(container)[""] == f"/sys/fs/cgroup/limits.slice/limits-inner.slice/{unit}"
        site.api("POST", f"/containers/{container}/update", {"Memory": 2 * MEMORY, "MemorySwap": -1, "PidsLimit": 78})
        assert site.run("systemctl", "daemon-reload").status == 0
        found = _properties(site, unit)
        assert (found["MemoryMax"], found["TasksMax"]) == (str(2 * MEMORY), "78")
        assert site.limit(container, "", "memory.max") == str(2 * MEMORY)
        assert site.limit(container, "", "cpu.max") == "50000 100000"
        assert "not permitted" in _exec(site, container, "head", "-c0", "/k")
    assert _properties(site, unit)["ActiveState"] == "inactive"


def parents(site: Site) -> None:
    """A parent that is no slice is refused, in Docker's words."""
    for parent, text in (("/plain", _NO_SLICE), (".slice", _NO_SLICE), ("a/b.slice", "invalid slice name: a/b.slice")):
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"CgroupParent": parent}}
        answer = site.request("POST", "/containers/create", json.dumps(body).encode(), "application/json")
        assert (answer.status, json.loads(answer.out)["message"]) == (400, text)


_NO_SLICE = 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'
_BUNDLE = """
mkdir -p /bundle/rootfs/bin && cp /usr/bin/busybox /bundle/rootfs/bin && cd /bundle && python3 -m sampan.ocirun spec &&
sed -i 's/"terminal": *true/"terminal": false/; s/"sh"/"busybox","sleep","1000"/' config.json
"""


def runtime(site: Site) -> None:
    """`sampan-runc --systemd-cgroup` by itself: run, update, delete."""
    made = site.run("sh", "-c", _BUNDLE)
    assert made.status == 0, made

    def runc(*words: str) -> None:
        argv = ["python3", "-m", "sampan.ocirun", "--systemd-cgroup", *words]
        done = site.run("sh", "-c", f"{' '.join(argv)} </dev/null >/tmp/runc.log 2>&1; status=$?; "
                                    "cat /tmp/runc.log; exit $status")  # fmt: skip
        assert done.status == 0, done

    runc("run", "-d", "-b", "/bundle", "one")
    found = _properties(site, "runc-one.scope")
    assert (found["Slice"], found["Delegate"], found["ActiveState"]) == ("system.slice", "yes", "active")
    runc("update", "--memory", str(MEMORY), "one")
    assert site.read("/sys/fs/cgroup/system.slice/runc-one.scope/memory.max") == str(MEMORY)
    assert _properties(site, "runc-one.scope")["MemoryMax"] == str(MEMORY)
    runc("delete", "-f", "one")
    assert _properties(site, "runc-one.scope")["ActiveState"] == "inactive"


CHECKS = (memory_hog, fork_bomb, cpu_quota, block_rates, cpuset, devices, pause, update, stats, execute, recovery,
          group_is_removed, information)  # fmt: skip
SYSTEMD_CHECKS = (scope, parents, runtime)
