"""From Docker's words to an OCI configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sampan.errors import InvalidArgument, SampanError
from sampan.model.container import ContainerConfig, DeviceMapping, HostConfig, ThrottleDevice
from sampan.runtime import bundle, seccomp_default
from sampan.runtime.bundle import BundleMount, Inputs
from sampan.runtime.privileges import DEFAULT_CAPABILITIES, capabilities, security_options
from sampan.runtime.users import User

PRIVATE = dict.fromkeys(("mount", "network", "uts", "pid", "ipc"))


def build(host: HostConfig | None = None, config: ContainerConfig | None = None, **more: Any) -> dict[str, Any]:
    given = {"namespaces": PRIVATE, "hostname": "box", "cgroup": "/docker/x", **more}
    return bundle.build(
        Inputs("x", config or ContainerConfig(), host or HostConfig(), ["true"], ["A=b"], "/r", User(), **given)
    )


def destinations(spec: dict[str, Any]) -> list[str]:
    return [mount["destination"] for mount in spec["mounts"]]


def test_a_plain_container() -> None:
    spec = build()
    assert destinations(spec) == [
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
    ]  # fmt: skip
    assert spec["process"]["capabilities"]["bounding"] == list(DEFAULT_CAPABILITIES)
    assert "inheritable" not in spec["process"]["capabilities"]
    assert spec["hostname"] == "box" and spec["root"] == {"path": "/r", "readonly": False}
    assert spec["linux"]["sysctl"] == {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
    }
    assert "/proc/kcore" in spec["linux"]["maskedPaths"] and "/proc/sys" in spec["linux"]["readonlyPaths"]
    assert spec["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert json.loads(json.dumps(spec)) == spec


def test_privileged() -> None:
    spec = build(HostConfig(privileged=True))
    assert "CAP_SYS_ADMIN" in spec["process"]["capabilities"]["effective"]
    assert "seccomp" not in spec["linux"] and spec["linux"]["maskedPaths"] == []
    assert spec["linux"]["resources"]["devices"][-1] == {"allow": True, "access": "rwm"}
    assert not any("ro" in mount["options"] for mount in spec["mounts"])
    assert any(node["path"] == "/dev/full" for node in spec["linux"]["devices"])


def test_own_mounts_take_the_place_of_default_ones_in_order_of_depth() -> None:
    mounts = [
        BundleMount("/a/b/c", "bind", "/x"),
        BundleMount("/a", "bind", "/y"),
        BundleMount("/dev/shm", "bind", "/z"),
    ]
    spec = build(mounts=mounts)
    assert destinations(spec)[-3:] == ["/a", "/dev/shm", "/a/b/c"] and destinations(spec).count("/dev/shm") == 1
    assert "/dev/pts" not in destinations(build(mounts=[BundleMount("/dev", "bind", "/dev")]))
    assert build(mounts=[BundleMount("/s", "bind", "/x", ("rshared",))])["linux"]["rootfsPropagation"] == "shared"
    assert "/dev/shm" not in destinations(build(HostConfig(ipc_mode="none")))


def test_shared_namespaces_bring_nothing_of_their_own() -> None:
    spec = build(namespaces={"mount": None, "network": "/proc/1/ns/net"}, config=ContainerConfig(domainname="d"))
    assert {"type": "network", "path": "/proc/1/ns/net"} in spec["linux"]["namespaces"]
    assert spec["linux"]["sysctl"] == {} and "hostname" not in spec and "/dev/shm" not in destinations(spec)


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        (HostConfig(memory=100), {"memory": {"limit": 100, "swap": 200}}),
        (HostConfig(memory=100, memory_swap=-1), {"memory": {"limit": 100, "swap": -1}}),
        (HostConfig(nano_cpus=1_500_000_000), {"cpu": {"period": 100_000, "quota": 150_000}}),
        (HostConfig(pids_limit=-1), {"pids": {"limit": -1}}),
        (HostConfig(pids_limit=7), {"pids": {"limit": 7}}),
        (HostConfig(oom_kill_disable=True, memory_swappiness=-1), {"memory": {"disableOOMKiller": True}}),
        (HostConfig(blkio_weight=300), {"blockIO": {"weight": 300}}),
        (HostConfig(), {}),
    ],
)
def test_limits(host: HostConfig, wanted: dict[str, Any]) -> None:
    assert bundle.resources(host) == wanted
    assert bundle.resources(HostConfig(), 50) == {"pids": {"limit": 50}}


def test_devices() -> None:
    host = HostConfig(
        devices=[DeviceMapping("/dev/zero", "/dev/nil", "rm")], device_cgroup_rules=["c 10:* rw", "a *:* rwm"]
    )
    spec = build(host)
    assert [(node["path"], node["major"], node["minor"]) for node in spec["linux"]["devices"]] == [("/dev/nil", 1, 5)]
    rules = spec["linux"]["resources"]["devices"]
    assert rules[-3:] == [
        {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rm"},
        {"allow": True, "type": "c", "major": 10, "minor": -1, "access": "rw"},
        {"allow": True, "type": "a", "major": -1, "minor": -1, "access": "rwm"},
    ]
    with pytest.raises(SampanError, match='adding custom device "/dev/nosuch": no such file or directory'):
        build(HostConfig(devices=[DeviceMapping("/dev/nosuch", "", "")]))
    with pytest.raises(SampanError, match="stat /dev/nosuch: no such file or directory"):
        build(HostConfig(blkio_device_read_bps=[ThrottleDevice("/dev/nosuch", 1)]))


@pytest.mark.parametrize(
    ("add", "drop", "has", "lacks"),
    [
        (["NET_ADMIN"], None, "CAP_NET_ADMIN", "CAP_SYS_ADMIN"),
        (["cap_sys_admin"], ["CHOWN"], "CAP_SYS_ADMIN", "CAP_CHOWN"),
        (["ALL"], ["NET_RAW"], "CAP_SYS_ADMIN", "CAP_NET_RAW"),
        (["KILL"], ["ALL"], "CAP_KILL", "CAP_CHOWN"),
    ],
)
def test_capabilities(add: list[str] | None, drop: list[str] | None, has: str, lacks: str) -> None:
    found = capabilities(HostConfig(cap_add=add, cap_drop=drop))
    assert has in found and lacks not in found
    with pytest.raises(InvalidArgument, match='invalid CapAdd: unknown capability: "CAP_FOO"'):
        capabilities(HostConfig(cap_add=["foo"]))


def test_security_options() -> None:
    found = security_options(["no-new-privileges", "seccomp=unconfined", "apparmor:x", "label=a", "label=b"])
    assert found.no_new_privileges and (found.seccomp, found.apparmor, found.labels) == ("unconfined", "x", ("a", "b"))
    for wrong in ("foo", "foo=bar", "no-new-privileges=maybe", "systempaths=unconfined"):
        with pytest.raises(InvalidArgument, match="invalid --security-opt"):
            security_options([wrong])
    assert "seccomp" not in build(HostConfig(security_opt=["seccomp=unconfined"]))["linux"]


def names(profile: dict[str, Any], action: str = "SCMP_ACT_ALLOW") -> set[str]:
    return {name for rule in profile["syscalls"] if rule["action"] == action for name in rule["names"]}


def test_the_default_profile_follows_the_capabilities() -> None:
    plain, admin = seccomp_default.profile([]), seccomp_default.profile(["CAP_SYS_ADMIN"])
    assert not {"mount", "bpf", "keyctl", "userfaultfd", "io_uring_setup", "kexec_load", "chroot"} & names(plain)
    assert names(plain, "SCMP_ACT_ERRNO") == {"clone3"}
    assert {"mount", "unshare", "clone3"} <= names(admin) and not names(admin, "SCMP_ACT_ERRNO")
    assert "chroot" in names(seccomp_default.profile(["CAP_SYS_CHROOT"]))


def test_a_profile_of_dockers_format_is_decided_here() -> None:
    given = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": None, "includes": {}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["other"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["mips"]}},
        ],
    }
    assert names(seccomp_default.render(given, [])) == {"read", "clone"}
    assert names(seccomp_default.render(given, ["CAP_SYS_ADMIN"])) == {"read", "mount"}
    host = HostConfig(security_opt=[f"seccomp={json.dumps(given)}"])
    assert names(build(host)["linux"]["seccomp"]) == {"read", "clone"}
    with pytest.raises(InvalidArgument, match="decoding seccomp profile failed"):
        build(HostConfig(security_opt=["seccomp={"]))
