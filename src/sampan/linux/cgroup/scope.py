"""Control groups that systemd makes: transient scopes, by the names and properties that runc's driver gives them."""

from __future__ import annotations

from .. import kernellog
from . import devices, v2
from .group import Cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .hierarchy import Hierarchy
    from .systemd import Manager, Property

DEFAULT_SLICE = "system.slice"
_INFINITY = (1 << 64) - 1
_PERIOD_USEC = 100_000
_QUOTA_STEP_USEC = 10_000
"""systemd keeps a quota in whole parts of a hundred."""


class Scope(Cgroup):
    """`name` is the OCI `cgroupsPath` of systemd's driver, slice:prefix:name."""

    __slots__ = ("slice", "unit")

    def __init__(self, name: str, hierarchy: Hierarchy | None = None) -> None:
        slice_, prefix, rest = name.split(":")
        self.slice = slice_ or DEFAULT_SLICE
        self.unit = rest if rest.endswith(".slice") else f"{prefix}-{rest}.scope"
        super().__init__(f"{slice_path(self.slice)}/{self.unit}", hierarchy)
        self.name = name

    def open_new(self) -> int:
        """systemd makes it around a process that is there."""
        return -1

    def start(self, pid: int, resources: dict[str, Any]) -> bool:
        """Have systemd make the scope around a process; on v1 it leaves out hierarchies, which are made here."""
        given = [
            ("Description", ("s", f"sampan container {self.unit}")),
            ("Slice", ("s", self.slice)),
            ("Delegate", ("b", True)),
            ("PIDs", ("au", [pid])),
            ("MemoryAccounting", ("b", True)),
            ("CPUAccounting", ("b", True)),
            ("IOAccounting" if self.hierarchy.version == 2 else "BlockIOAccounting", ("b", True)),
            ("TasksAccounting", ("b", True)),
            ("DefaultDependencies", ("b", False)),
            *properties(resources, self.hierarchy.version),
            *device_properties(resources.get("devices") or []),
        ]
        with _manager() as manager:
            manager.start(self.unit, given)
        self.create()
        return self.hierarchy.version == 2

    def update(self, resources: dict[str, Any]) -> list[str]:
        """As for any group; systemd is told too, for it writes its own idea of them when it reloads."""
        changed = properties(resources, self.hierarchy.version)
        if changed:
            with _manager() as manager:
                manager.set_properties(self.unit, changed)
        return self.apply(resources)

    def oom_killed(self, since: int) -> bool:
        """systemd may remove an empty scope before anybody has read its counters: then the kernel's log tells."""
        return super().oom_killed(since) or (not self.exists() and kernellog.has_oom_kill(self.path, since))

    def remove(self) -> None:
        """Have systemd stop the scope, and remove what it leaves."""
        if self.exists():
            with _manager() as manager:
                manager.stop(self.unit)
        super().remove()


def _manager() -> Manager:
    """systemd, over D-Bus: that takes 11 ms to import, and only this driver speaks it."""
    try:
        from .systemd import Manager
    except ModuleNotFoundError:
        import site

        site.main()  # shims and sampan-runc do without: they may have to look for the package first
        from .systemd import Manager
    return Manager()


def slice_path(name: str) -> str:
    """Where a slice lies: a-b.slice is in a.slice (systemd.slice(5)); ValueError where the name is none."""
    if name == "-.slice":
        return ""
    words = name.removesuffix(".slice").split("-")
    if not name.endswith(".slice") or "/" in name or "" in words:
        raise ValueError(f"invalid slice name: {name}")
    return "/" + "/".join("-".join(words[: count + 1]) + ".slice" for count in range(len(words)))


def properties(resources: dict[str, Any], version: int) -> list[Property]:
    """OCI `linux.resources` but the devices as properties of a unit: systemd.resource-control(5)."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    found = [
        *(_memory_v2(memory) if version == 2 else _memory_v1(memory)),
        *_cpu(cpu, version),
        *(_cpuset(cpu) if version == 2 else ()),
    ]
    weight = (resources.get("blockIO") or {}).get("weight")
    if weight:
        name, value = ("IOWeight", v2.io_weight(weight)) if version == 2 else ("BlockIOWeight", weight)
        found.append((name, ("t", value)))
    limit = (resources.get("pids") or {}).get("limit")
    if limit:
        found.append(("TasksMax", ("t", _bounded(limit))))
    return found


def _bounded(value: int) -> int:
    return value if value >= 0 else _INFINITY


def _memory_v1(memory: dict[str, Any]) -> list[Property]:
    limit = memory.get("limit")
    return [("MemoryLimit", ("t", _bounded(limit)))] if limit else []


_MEMORY_V2 = {"memory.swap.max": "MemorySwapMax", "memory.max": "MemoryMax", "memory.low": "MemoryLow"}


def _memory_v2(memory: dict[str, Any]) -> list[Property]:
    return [
        (_MEMORY_V2[name], ("t", _INFINITY if value == "max" else int(value)))
        for name, value in v2.settings({"memory": memory})
    ]


def _cpu(cpu: dict[str, Any], version: int) -> list[Property]:
    found: list[Property] = []
    shares, quota, period = cpu.get("shares"), cpu.get("quota") or 0, cpu.get("period") or 0
    if shares:
        name, value = ("CPUWeight", v2.cpu_weight(shares)) if version == 2 else ("CPUShares", shares)
        found.append((name, ("t", value)))
    if period:
        found.append(("CPUQuotaPeriodUSec", ("t", period)))
    if quota or period:
        a_second = -(-quota * 1_000_000 // (period or _PERIOD_USEC)) if quota > 0 else _INFINITY
        if quota > 0:
            a_second = -(-a_second // _QUOTA_STEP_USEC) * _QUOTA_STEP_USEC
        found.append(("CPUQuotaPerSecUSec", ("t", a_second)))
    return found


def _cpuset(cpu: dict[str, Any]) -> list[Property]:
    names = {"cpus": "AllowedCPUs", "mems": "AllowedMemoryNodes"}
    return [(name, ("ay", _mask(cpu[key]))) for key, name in names.items() if cpu.get(key)]


def _mask(text: str) -> bytes:
    """The kernel's list format as bits, lowest first."""
    bits = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            bits |= 1 << number
    return bits.to_bytes(bits.bit_length() + 7 >> 3, "little")


def device_properties(rules: list[dict[str, Any]]) -> list[Property]:
    """Devices as systemd allows them; it cannot deny single ones, which the rules on the group itself do."""
    found = devices.rules(rules)
    whole = [allow for kind, major, minor, _, allow in found if (kind, major, minor) == ("a", None, None)]
    if not whole or whole[-1]:
        return []  # everything is allowed
    allowed = [(_device(kind, major, minor), access) for kind, major, minor, access, allow in found if allow]
    return [("DevicePolicy", ("s", "strict")), ("DeviceAllow", ("a(ss)", [one for one in allowed if one[0]]))]


def _device(kind: str, major: int | None, minor: int | None) -> str:
    """`/dev/char/1:3`, `char-pts` for all of a driver's, `char-*` for all; "" where no driver has the number."""
    word = "block" if kind == "b" else "char"
    if major is None:
        return f"{word}-*"
    if minor is not None:
        return f"/dev/{word}/{major}:{minor}"
    driver = _drivers(kind).get(major)
    return f"{word}-{driver}" if driver else ""


def _drivers(kind: str) -> dict[int, str]:
    # proc_devices(5): "Character devices:", numbers and names, an empty line, "Block devices:", …
    with open("/proc/devices", encoding="utf-8") as file:
        characters, _, blocks = file.read().partition("Block devices:")
    lines = (blocks if kind == "b" else characters).splitlines()
    pairs = [line.split() for line in lines if line[:3].strip().isdigit()]
    return {int(pair[0]): pair[1] for pair in reversed(pairs)}
