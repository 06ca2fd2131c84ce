"""What limits do, checked through the API on any `Site`: each check is written once and holds on cgroup v1 and v2."""

from __future__ import annotations

import contextlib
import time
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
    """A hog is killed by the kernel, and that is told; its limit stands in the control file."""
    hog = "cat /sys/fs/cgroup/memory.max 2>/dev/null; tail -c 200m /dev/zero"
    with running(site, "sh", "-c", hog, Memory=MEMORY, MemorySwap=MEMORY) as container:
        state = finish(site, container)
        assert (state["OOMKilled"], state["ExitCode"]) == (True, 137), state


def fork_bomb(site: Site) -> None:
    """S12: the limit of processes holds a bomb; and without a word there is a limit."""
    with running(site, "sleep", "60", PidsLimit=64) as container:
        body = {"Cmd": ["sh", "-c", "while :; do sleep 60 & done"]}
        bomb = site.api("POST", f"/containers/{container}/exec", body)["Id"]
        site.api("POST", f"/exec/{bomb}/start", {"Detach": True})
        deadline = time.monotonic() + 60
        while (running_now := int(site.limit(container, "pids.current", "pids.current"))) < 63:
            assert time.monotonic() < deadline, running_now
        assert running_now <= 64 and site.limit(container, "pids.max", "pids.max") == "64"
    with running(site, "sleep", "60") as container:
        assert site.limit(container, "pids.max", "pids.max") != "max"


def _cpu_figures(site: Site, group: dict[str, str]) -> tuple[float, float, int, int]:
    """(uptime, CPU seconds used, periods, throttled periods)."""
    directory = group.get("cpu", group[""])
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


def block_rate(site: Site) -> None:
    """Reading a loop device past the cache takes as long as its limit says."""
    file = "/var/tmp/limits.img"
    write = f"modprobe loop 2>/dev/null; mkdir -p /var/tmp; dd if=/dev/zero of={file} bs=1M count=6 2>/dev/null"
    script = f"{write} && losetup -f && losetup -f {file}"
    made = site.run("sh", "-c", script)
    assert made.status == 0, made
    device = made.out.strip().splitlines()[-1]
    limit = 1 << 20
    try:
        reading = f"dd if={device} of=/dev/null bs=256k count=16 iflag=direct"
        host = {"BlkioDeviceReadBps": [{"Path": device, "Rate": limit}],
                "Devices": [{"PathOnHost": device, "PathInContainer": device, "CgroupPermissions": "r"}]}  # fmt: skip
        with running(site, "sh", "-c", f"time {reading}", **host) as container:
            state = finish(site, container)
            text = str(site.api("GET", f"/containers/{container}/logs?stdout=1&stderr=1"))
            assert state["ExitCode"] == 0, text
            minutes, seconds = text.split("real")[1].split()[:2]
            taken = float(minutes.rstrip("m")) * 60 + float(seconds.rstrip("s"))
            rate = (4 << 20) / taken
            assert abs(rate - limit) < limit / 10, (rate, text)
    finally:
        site.run("losetup", "-d", device)
        site.run("rm", "-f", "/var/tmp/limits.img")


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
    """A paused container does nothing, and goes on afterwards; one that is paused can be killed."""
    with running(site, "sh", "-c", "while :; do echo x >> /n; usleep 20000; done") as container:
        site.api("POST", f"/containers/{container}/pause")
        state = site.api("GET", f"/containers/{container}/json")["State"]
        assert (state["Status"], state["Paused"]) == ("paused", True)
        pid = state["Pid"]
        before = site.run("wc", "-c", f"/proc/{pid}/root/n").out
        site.run("sleep", "0.3")
        assert site.run("wc", "-c", f"/proc/{pid}/root/n").out == before
        site.api("POST", f"/containers/{container}/unpause")
        assert site.api("GET", f"/containers/{container}/json")["State"]["Status"] == "running"


def update(site: Site) -> None:
    """Limits of a running container change where it runs."""
    with running(site, "sleep", "60", Memory=MEMORY) as container:
        changed = {"Memory": 2 * MEMORY, "MemorySwap": 4 * MEMORY, "CpuShares": 512, "PidsLimit": 50, "CpusetCpus": "0",
                   "CpuPeriod": 50000, "CpuQuota": 25000}  # fmt: skip
        site.api("POST", f"/containers/{container}/update", changed)
        assert site.limit(container, "memory.limit_in_bytes", "memory.max") == str(2 * MEMORY)
        assert site.limit(container, "pids.max", "pids.max") == "50"
        assert site.limit(container, "cpuset.cpus", "cpuset.cpus") == "0"
        if site.version == 2:
            assert site.limit(container, "", "cpu.max") == "25000 50000"
            assert site.limit(container, "", "cpu.weight") == "20"
            assert site.limit(container, "", "memory.swap.max") == str(2 * MEMORY)
        else:
            assert site.limit(container, "cpu.shares", "") == "512"
            assert site.limit(container, "cpu.cfs_quota_us", "") == "25000"


def stats(site: Site) -> None:
    """The fields that Docker's client computes its columns from."""
    with running(site, "sleep", "60", Memory=MEMORY) as container:
        figures = site.api("GET", f"/containers/{container}/stats?stream=0&one-shot=1")
        assert figures["memory_stats"]["limit"] == MEMORY and figures["memory_stats"]["usage"] > 0
        assert figures["cpu_stats"]["cpu_usage"]["total_usage"] > 0 and figures["cpu_stats"]["system_cpu_usage"] > 0
        assert figures["cpu_stats"]["online_cpus"] > 0 and figures["pids_stats"]["current"] == 1
        key = "inactive_file" if site.version == 2 else "total_inactive_file"
        assert key in figures["memory_stats"]["stats"], figures["memory_stats"]


def execute(site: Site) -> None:
    """A program that is started later sits in the container's control group."""
    with running(site, "sleep", "60") as container:
        body = {"Cmd": ["cat", "/proc/self/cgroup"], "AttachStdout": True, "Tty": True}
        identity = site.api("POST", f"/containers/{container}/exec", body)["Id"]
        text = str(site.api("POST", f"/exec/{identity}/start", {"Tty": True}))
        private = site.version == 2  # a control group namespace of its own shows it as the root
        assert ("0::/\r" in text) if private else (container in text), text


def recovery(site: Site) -> None:
    """A daemon that is killed finds its containers again, paused ones as well, and their limits."""
    with running(site, "sleep", "60", Memory=MEMORY) as container, running(site, "sleep", "60") as frozen:
        site.api("POST", f"/containers/{frozen}/pause")
        site.kill()
        site.start()
        assert site.api("GET", f"/containers/{container}/json")["State"]["Status"] == "running"
        assert site.api("GET", f"/containers/{frozen}/json")["State"]["Status"] == "paused"
        assert site.limit(container, "memory.limit_in_bytes", "memory.max") == str(MEMORY)
        site.api("POST", f"/containers/{frozen}/unpause")


def group_is_removed(site: Site) -> None:
    """Nothing of a container stays in any hierarchy."""
    with running(site, "sleep", "60") as container:
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


CHECKS = (memory_hog, fork_bomb, cpu_quota, block_rate, cpuset, devices, pause, update, stats, execute, recovery,
          group_is_removed, information)  # fmt: skip
