"""S08–S13: capabilities, USER, cgroups and system calls, fork bombs, other processes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from sampan.engine import kernel, parts
from sampan.engine.config import EngineConfig
from sampan.errors import InvalidArgument
from sampan.linux.cgroup import Cgroup
from sampan.model.container import ContainerConfig, HostConfig
from sampan.runtime import users
from sampan.runtime.bundle import BundleMount
from tests.support.bundles import Bundle
from tests.support.leaks import CGROUP_PARENT

DEFAULT_SET = "00000000a80425fb"
NONE = "0000000000000000"


def capability_sets(text: str) -> dict[str, str]:
    return dict(line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))


@pytest.mark.parametrize("user", ["root", "ann"])
def test_s08_inheritable_and_ambient_are_empty(box: Bundle, user: str) -> None:
    """In run and in exec; what root does not have, another user has not."""
    config = ContainerConfig(user=user)
    effective = DEFAULT_SET if user == "root" else NONE
    wanted = {"CapInh": NONE, "CapPrm": effective, "CapEff": effective, "CapBnd": DEFAULT_SET, "CapAmb": NONE}
    assert capability_sets(box.out("cat /proc/self/status", config=config)) == wanted
    container_id = box.start(config=config)
    assert capability_sets(box.call("exec", container_id, "cat", "/proc/self/status").out) == wanted


def test_s08_ambient_where_asked_and_all_dropped(box: Bundle) -> None:
    spec = box.spec("cat", "/proc/self/status", config=ContainerConfig(user="ann"))
    for kind in ("inheritable", "ambient"):
        spec["process"]["capabilities"][kind] = ["CAP_NET_RAW"]
    sets = capability_sets(box.run(spec).out)
    assert sets["CapAmb"] == sets["CapInh"] == sets["CapEff"] == "0000000000002000"
    dropped = capability_sets(box.out("cat /proc/self/status", host=HostConfig(cap_drop=["ALL"])))
    assert set(dropped.values()) == {NONE}


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ("", (0, 0, (0,))),
        ("ann", (1000, 1000, (1000, 10, 50))),
        ("1000", (1000, 1000, (1000, 10, 50))),
        ("ann:staff", (1000, 50, (50,))),
        ("ann:7", (1000, 7, (7,))),
        ("1:2", (1, 2, (2,))),
        ("4000", (4000, 0, (0,))),
        ("ann:", (1000, 1000, (1000, 10, 50))),
        (":wheel", (0, 10, (10,))),
        (":", (0, 0, (0,))),
        ("2147483647", (2147483647, 0, (0,))),
    ],
)
def test_s09_every_form_of_user(box: Bundle, user: str, wanted: tuple[int, int, tuple[int, ...]]) -> None:
    found = users.resolve(str(box.rootfs), user)
    assert (found.uid, found.gid, found.groups) == wanted


@pytest.mark.parametrize("user", ["2147483648", "4294967295", "4294967296", "-1", "99999999999999999999999", "0:-5"])
def test_s09_numbers_out_of_range_are_errors(box: Bundle, user: str) -> None:
    """CVE-2024-40635: 2^32 must not become root, and a name that looks like a number does not help."""
    with (box.rootfs / "etc/passwd").open("a") as passwd:
        passwd.write(f"{user}:x:0:0::/:/bin/sh\n")
    with pytest.raises(InvalidArgument, match="uids and gids must be in range 0-2147483647"):
        users.resolve(str(box.rootfs), user)


def test_s09_unknown_names_and_added_groups(box: Bundle) -> None:
    root = str(box.rootfs)
    with pytest.raises(InvalidArgument, match="unable to find user nobody: no matching entries in passwd file"):
        users.resolve(root, "nobody")
    with pytest.raises(InvalidArgument, match="unable to find group nogroup: no matching entries in group file"):
        users.resolve(root, "ann", ["nogroup"])
    assert users.resolve(root, "ann", ["77", "staff"]).groups == (1000, 10, 50, 77)


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "link out", "huge", "binary"])
def test_s10_passwd_of_an_image_is_a_bounded_regular_file(box: Bundle, kind: str) -> None:
    passwd = box.rootfs / "etc/passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "device":
        os.mknod(passwd, 0o600 | 0o020000, os.makedev(1, 5))
    elif kind == "directory":
        passwd.mkdir()
    elif kind == "link out":
        passwd.symlink_to("../../../../../../../../etc/passwd")
    elif kind == "huge":
        passwd.touch()
        os.truncate(passwd, 1 << 40)
    else:
        passwd.write_bytes(bytes(range(256)) * 10)
    start = time.monotonic()
    assert users.resolve(str(box.rootfs), "1000").uid == 1000
    with pytest.raises(InvalidArgument):
        users.resolve(str(box.rootfs), "daemon")
    assert box.run(box.spec("true")).status == 0
    assert time.monotonic() - start < 15


def test_s11_cgroups_mounts_and_system_calls_by_default(box: Bundle) -> None:
    script = """
    mkdir /sys/fs/cgroup/pids/x 2>/dev/null || mkdir /sys/fs/cgroup/x 2>/dev/null || echo cgroup
    echo 1 > /sys/fs/cgroup/memory/release_agent 2>/dev/null || echo agent
    mount -t tmpfs tmpfs /tmp 2>/dev/null || echo mount
    unshare -U true 2>/dev/null || echo userns
    grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | tr -d '\t'
    """
    assert box.out(script).split() == ["cgroup", "agent", "mount", "userns", "NoNewPrivs:0", "Seccomp:2"]


_CALLS = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(*map(ctypes.c_long, numbers)) < 0 else 0
def family(number):
    try: socket.socket(number, socket.SOCK_SEQPACKET if number == 38 else socket.SOCK_STREAM).close()
    except OSError as error: return error.errno
    return 0
print(family(38), family(40), family(2), call(250, 0, 0, 0), call(321, 0, 0, 0), call(323, 0), call(425, 1, 0),
      call(56, 0x10000000 | 17, 0, 0, 0, 0), call(435, 0, 0), call(272, 0x10000000), call(165, 0, 0, 0, 0, 0),
      call(246, 0, 0, 0, 0), call(175, 0, 0, 0), call(999))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86-64")
def test_s11_dangerous_system_calls_answer_eperm(box: Bundle) -> None:
    """AF_ALG, AF_VSOCK, keyctl, bpf, userfaultfd, io_uring, clone and unshare of a user namespace, mount, kexec …"""
    mounts = [BundleMount(place, "bind", place, ("rbind", "ro")) for place in ("/usr", "/lib", "/lib64")]
    (box.rootfs / "usr").mkdir(exist_ok=True)
    result = box.run(box.spec("/usr/bin/python3", "-ISc", _CALLS, mounts=mounts))
    assert result.status == 0, result
    alg, vsock, inet, *others, clone3, unshare, mount, kexec, module, unknown = map(int, result.out.split())
    assert (alg, vsock, inet) == (1, 1, 0)
    assert others == [1] * len(others) and (unshare, mount, kexec, module) == (1, 1, 1, 1)
    assert (clone3, unknown) == (38, 38)


def test_s12_there_is_a_limit_where_none_is_asked_for(box: Bundle) -> None:
    """What the engine gives to containers and to the steps of builds."""
    limit = parts.pids_limit(EngineConfig(), kernel.probe(CGROUP_PARENT))
    shown = box.out("cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true", pids_limit=limit)
    assert 0 < int(shown) <= 32768


def test_s12_a_fork_bomb_is_held(box: Bundle) -> None:
    container_id = box.create(box.spec("sh", "-c", "bomb() { bomb | bomb & }; bomb; sleep 600", pids_limit=64))
    group = Cgroup(f"{box.spec('x')['linux']['cgroupsPath'].rpartition('/')[0]}")
    assert box.call("start", container_id).status == 0
    deadline = time.monotonic() + 20
    path = next(Path("/sys/fs/cgroup").glob(f"pids{_cgroup_of(box, container_id)}"), None)
    while path and _limit_hits(path) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)  # pids.events wakes no poll on v1
    assert path is None or int((path / "pids.current").read_text()) <= 64
    assert subprocess.run(["true"], check=True).returncode == 0
    assert box.call("delete", "--force", container_id).status == 0
    assert group.path


def _cgroup_of(box: Bundle, container_id: str) -> str:
    import json

    return str(json.loads((box.state / container_id / "state.json").read_text())["cgroup"])


def _limit_hits(path: Path) -> int:
    return int((path / "pids.events").read_text().split()[1])


def test_s13_other_processes_and_containers_are_out_of_reach(box: Bundle) -> None:
    outside = subprocess.Popen(["sleep", "600"], env={"SECRET": "canary"})
    other = box.start("sh", "-c", "OTHER=canary exec sleep 600")
    script = f"""
    kill -9 {outside.pid} 2>/dev/null || echo unseen; ls /proc | grep -c '^[0-9]'
    cat /proc/*/environ 2>/dev/null | grep -c canary
    ls /sys/class/net | tr '\\n' ' '; echo; cat /proc/net/unix | wc -l
    """
    lines = box.out(script).splitlines()
    assert lines[0] == "unseen" and int(lines[1]) <= 3 and lines[2] == "0" and lines[3].split() == ["lo"]
    assert int(lines[4]) == 1
    assert outside.poll() is None and box.pid(other)
    outside.kill()
    outside.wait()
