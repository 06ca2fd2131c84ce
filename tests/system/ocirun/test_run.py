"""What a program finds in its container."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from sampan.linux.cgroup import Cgroup, Hierarchy
from sampan.linux.fds import recv_fds
from sampan.model.container import ContainerConfig, DeviceMapping, HostConfig, Ulimit
from sampan.runtime.bundle import BundleMount
from tests.support.bundles import PRIVATE, Bundle, changed


def test_namespaces_identity_and_environment(box: Bundle) -> None:
    out = box.out(
        "hostname; id; pwd; echo $HOME $$; readlink /proc/self/ns/net; readlink /proc/self/ns/pid; ls -d /proc/[0-9]*"
    )
    hostname, identity, directory, home, net, pid, *processes = out.splitlines()
    assert (hostname, directory, home) == ("box", "/", "/root 1")
    assert identity == "uid=0(root) gid=0(root) groups=0(root)"
    assert net != os.readlink("/proc/self/ns/net") and pid != os.readlink("/proc/self/ns/pid")
    assert processes[0] == "/proc/1" and len(processes) <= 2


def test_user_groups_home_and_working_directory(box: Bundle) -> None:
    config = ContainerConfig(user="ann", working_dir="/made/for/it")
    out = box.out("id; echo $HOME; pwd; touch /tmp/mine; touch /no 2>/dev/null || echo refused", config=config)
    assert out.splitlines() == [
        "uid=1000(ann) gid=1000(ann) groups=10(wheel),50(staff),1000(ann)",
        "/home/ann",
        "/made/for/it",
        "refused",
    ]


def test_mounts_devices_and_masks(box: Bundle) -> None:
    (box.directory / "data").mkdir()
    (box.directory / "data/file").write_text("content")
    mounts = [
        BundleMount("/rw", "bind", str(box.directory / "data"), ("rbind", "rprivate")),
        BundleMount("/ro", "bind", str(box.directory / "data"), ("rbind", "ro")),
        BundleMount("/one/file", "bind", str(box.directory / "data/file"), ("bind", "ro")),
        BundleMount("/run", "tmpfs", "tmpfs", ("nosuid", "nodev", "noexec", "size=64k", "mode=700")),
    ]
    out = box.out(
        """
        echo new > /rw/made && cat /ro/made /one/file; echo
        echo x > /ro/made 2>/dev/null || echo ro
        df -k /run | tail -1 | awk '{print $2}'; stat -c %a /run /dev/shm /dev/null
        cat /proc/keys /proc/timer_list; ls /sys/firmware; echo 1 > /proc/sys/kernel/hostname || echo readonly
        echo x > /dev/null && head -c 4 /dev/zero | wc -c; readlink /dev/ptmx; readlink /dev/stdout
        """,
        mounts=mounts,
    )
    assert out.split() == ["new", "content", "ro", "64", "700", "1777", "666", "readonly", "4", "pts/ptmx",
                           "/proc/self/fd/1"]  # fmt: skip


def test_read_only_root_with_recursive_read_only_bind(box: Bundle) -> None:
    source = box.directory / "source"
    (source / "inner").mkdir(parents=True)
    mounts = [
        BundleMount("/deep", "bind", str(source), ("rbind", "rro")),
        BundleMount("/deep/inner", "tmpfs", "tmpfs", ()),
    ]
    script = "touch /x 2>/dev/null || echo root; touch /deep/x 2>/dev/null || echo bind; touch /deep/inner/x && echo t"
    assert box.out(script, host=HostConfig(readonly_rootfs=True), mounts=mounts).split() == ["root", "bind", "t"]


def test_tmpcopyup_and_shared_propagation(box: Bundle) -> None:
    (box.rootfs / "srv/sub").mkdir(parents=True)
    (box.rootfs / "srv/file").write_text("kept")
    (box.rootfs / "srv/link").symlink_to("file")
    os.chown(box.rootfs / "srv/sub", 1000, 1000)
    mounts = [BundleMount("/srv", "tmpfs", "tmpfs", ("tmpcopyup", "nosuid"))]
    out = box.out("cat /srv/link; echo; stat -c %u /srv/sub; echo more > /srv/file; stat -f -c %T /srv", mounts=mounts)
    assert out.split() == ["kept", "1000", "tmpfs"]
    assert (box.rootfs / "srv/file").read_text() == "kept"


def test_limits_of_the_control_group(box: Bundle) -> None:
    host = HostConfig(memory=32 << 20, pids_limit=20, cpu_quota=50_000, cpu_period=100_000, cpuset_cpus="0")
    container_id = box.start(host=host)
    group = Cgroup(json.loads((box.state / container_id / "state.json").read_text())["cgroup"])
    stat = group.stat()
    assert (stat.memory_limit, stat.pids_limit, stat.pids_current) == (32 << 20, 20, 1)
    update = box.call("update", "--pids-limit", "7", "--memory", str(64 << 20), "--memory-swap", "-1", container_id)
    assert update.status == 0, update
    assert (group.stat().pids_limit, group.stat().memory_limit) == (7, 64 << 20)
    # A group in the container's reach lists its own limit where the hierarchy is v1.
    if Hierarchy.detect().version == 1:
        assert box.call("exec", container_id, "cat", "/sys/fs/cgroup/pids/pids.max").out == "7\n"


def test_out_of_memory_is_counted(box: Bundle) -> None:
    host = HostConfig(memory=16 << 20, memory_swap=16 << 20)
    box.write(box.spec("sh", "-c", "tail /dev/zero", host=host))
    spec = json.loads((box.directory / "config.json").read_text())
    result = box.run(spec, "--keep")
    assert result.status == 137, result
    assert Cgroup(spec["linux"]["cgroupsPath"]).oom_count() >= 1


def test_rlimits_sysctls_oom_score_and_umask(box: Bundle) -> None:
    host = HostConfig(sysctls={"net.ipv4.ip_forward": "1"}, oom_score_adj=300)
    spec = box.spec(
        "sh", "-c", "ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj; umask",
        host=host, ulimits=[Ulimit("nofile", 64, 128)],
    )  # fmt: skip
    spec["process"]["user"]["umask"] = 0o27
    assert box.run(spec).out.split() == ["64", "128", "1", "300", "0027"]


def test_sysctl_outside_a_namespace_of_its_own_is_refused(box: Bundle) -> None:
    spec = changed(box.spec("true"), sysctl={"kernel.pid_max": "1000"})
    result = box.run(spec)
    assert result.status == 1 and 'sysctl "kernel.pid_max" is not in a separate kernel namespace' in result.err
    assert Path("/proc/sys/kernel/pid_max").read_text() != "1000\n"


def test_devices_and_their_rules(box: Bundle) -> None:
    host = HostConfig(devices=[DeviceMapping("/dev/loop-control", "/dev/control", "r")])
    script = """
    ls -l /dev/control | awk '{print $5 $6}'
    (exec 3</dev/control) && echo read; (exec 3>/dev/control) 2>/dev/null || echo unwritable
    mknod /dev/mem2 c 1 1 && dd if=/dev/mem2 of=/dev/null count=1 2>/dev/null || echo refused
    """
    assert box.out(script, host=host).split() == ["10,237", "read", "unwritable", "refused"]


def test_user_namespace(box: Bundle) -> None:
    namespaces: dict[str, str | None] = dict.fromkeys((*PRIVATE, "user"))
    mappings = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
    os.chmod(box.directory, 0o700)  # nobody but root can reach the root file system by its path
    spec = box.spec("sh", "-c", "id -u; cat /proc/self/uid_map; touch /tmp/x; echo y > /dev/null && echo device",
                    namespaces=namespaces, id_mappings=(mappings, mappings))  # fmt: skip
    result = box.run(spec)
    assert result.out.split() == ["0", "0", "100000", "65536", "device"], result
    assert (box.rootfs / "tmp/x").stat().st_uid == 100_000


def test_id_mapped_bind(box: Bundle) -> None:
    source = box.directory / "mapped"
    source.mkdir()
    (source / "file").touch()
    spec = box.spec("stat", "-c", "%u", "/mapped/file")
    mappings = [{"containerID": 0, "hostID": 5000, "size": 1000}]
    spec["mounts"].append({"destination": "/mapped", "type": "bind", "source": str(source), "options": ["rbind"],
                           "uidMappings": mappings, "gidMappings": mappings})  # fmt: skip
    assert box.run(spec).out.strip() == "5000"


def test_time_namespace_and_joined_namespaces(box: Bundle) -> None:
    first = box.start()
    pid = box.pid(first)
    namespaces: dict[str, str | None] = {"mount": None, "pid": f"/proc/{pid}/ns/pid", "network": f"/proc/{pid}/ns/net",
                                         "ipc": f"/proc/{pid}/ns/ipc", "uts": f"/proc/{pid}/ns/uts"}  # fmt: skip
    out = box.out("hostname; readlink /proc/self/ns/net; tr '\\0' ' ' < /proc/1/cmdline", namespaces=namespaces)
    assert out.splitlines() == ["box", os.readlink(f"/proc/{pid}/ns/net"), "sleep 600"]
    spec = changed(box.spec("cat", "/proc/uptime", namespaces={**dict.fromkeys(PRIVATE), "time": None}),
                   timeOffsets={"boottime": {"secs": 1_000_000}})  # fmt: skip
    result = box.run(spec)
    assert float(result.out.split()[0]) > 1_000_000, result


def test_private_cgroup_namespace(box: Bundle) -> None:
    namespaces: dict[str, str | None] = dict.fromkeys((*PRIVATE, "cgroup"))
    paths = {line.split(":")[2] for line in box.out("cat /proc/self/cgroup", namespaces=namespaces).splitlines()}
    assert "/" in paths and not any("oci-" in path for path in paths)


def test_hooks_run_in_their_order_and_places(box: Bundle) -> None:
    log = box.directory / "log"
    spec = box.spec("sh", "-c", "echo program")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $0 $(readlink /proc/self/ns/mnt) >> {log}; cat >/dev/null"]}
    spec["hooks"] = {
        kind: [{**hook, "args": [*hook["args"], kind]}]
        for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    }
    spec["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/state"]}]
    assert box.run(spec).out == "program\n"
    lines = [line.split() for line in log.read_text().splitlines()]
    ours = os.readlink("/proc/self/ns/mnt")
    assert [name for name, _ in lines] == ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    assert [namespace == ours for _, namespace in lines] == [True, True, False, True, True]
    state = json.loads((box.rootfs / "tmp/state").read_text())
    assert state["status"] == "creating" and state["bundle"] == str(box.directory) and state["pid"] > 1


def test_a_failing_or_slow_hook_stops_the_start(box: Bundle) -> None:
    spec = box.spec("true")
    spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why; exit 3"]}]}
    result = box.run(spec)
    assert result.status == 1 and "exit status 3" in result.err and "why" in result.err
    spec["hooks"] = {"createContainer": [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]}
    assert "timeout of 1s" in box.run(spec).err
    chatty = "while sleep 0.2; do echo more; done"
    spec["hooks"] = {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", chatty], "timeout": 1}]}
    assert "timeout of 1s" in box.run(spec).err
    assert not list(box.state.glob("c*")), "a failed start leaves no state"


def test_a_hook_may_leave_a_large_state_unread(box: Bundle) -> None:
    spec = box.spec("echo", "program")
    spec["annotations"] = {"large": "x" * (1 << 17)}
    spec["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "0"], "timeout": 5}]}
    assert box.run(spec).out == "program\n"


def test_what_a_cut_off_creation_left_is_in_nobodys_way(box: Bundle) -> None:
    (box.state / "half").mkdir(parents=True, mode=0o700)
    assert box.call("list").out.count("\n") == 1
    assert box.call("delete", "half").status == 1
    box.write(box.spec("true"))
    assert box.call("run", "--bundle", str(box.directory), "half").status == 0
    spec = box.spec("true")
    spec["linux"]["cgroupsPath"] = "no-systemd-name"
    for _ in range(2):
        box.write(spec)
        refused = box.call("--systemd-cgroup", "run", "--bundle", str(box.directory), "twice")
        assert "slice:prefix:name" in refused.err, "the id is still free"


def test_terminal_over_a_console_socket(box: Bundle) -> None:
    path = str(box.directory / "console")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    config = ContainerConfig(tty=True)
    host = HostConfig(console_size=[30, 90])
    spec = box.spec("sh", "-c", "tty; stty size; test -c /dev/console && echo console; read x; echo got $x",
                    config=config, host=host)  # fmt: skip
    container_id = box.create(spec, "--console-socket", path)
    connection, _ = server.accept()
    _, (master,) = recv_fds(connection, 4096)
    assert box.call("start", container_id).status == 0
    os.write(master, b"line\n")
    text = b""
    while b"got line" not in text:
        text += os.read(master, 4096)
    assert {b"/dev/pts/0", b"30 90", b"console"} <= set(text.split(b"\r\n"))
    for fd in (connection, server):
        fd.close()
    os.close(master)


def test_init_reaps_and_passes_signals_on(box: Bundle) -> None:
    spec = box.spec("sh", "-c", "trap 'exit 9' TERM; (sleep 0 &); sleep 600 & echo up; wait", init=True)
    box.write(spec)
    process = subprocess.Popen(
        [*box.command, "run", "--bundle", str(box.directory), box.new_id()], stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(20) == 9
    process.stdout.close()


def test_preserved_descriptors(box: Bundle) -> None:
    box.write(box.spec("sh", "-c", "cat <&3; ls /proc/self/fd | wc -l"))
    (box.directory / "passed").write_text("passed\n")
    argv = [*box.command, "run", "--preserve-fds", "1", "--bundle", str(box.directory), box.new_id()]
    script = f'exec 3<{box.directory}/passed; exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", *argv], capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.split() == [b"passed", b"5"]  # 0 1 2 3 and the directory itself


@pytest.mark.parametrize(
    ("args", "status", "text"),
    [
        (["nosuch"], 1, 'error during container init: exec: "nosuch": executable file not found in $PATH'),
        (["/nosuch"], 1, 'exec: "/nosuch": stat /nosuch: no such file or directory'),
        (["/etc"], 1, 'exec: "/etc": is a directory: permission denied'),
        (["/etc/passwd"], 1, 'exec: "/etc/passwd": permission denied'),
        (["/tmp/text"], 255, "exec /tmp/text: exec format error"),
        (["/tmp/lost"], 255, "exec /tmp/lost: no such file or directory"),
    ],
)
def test_programs_that_cannot_run(box: Bundle, args: list[str], status: int, text: str) -> None:
    (box.rootfs / "tmp/text").write_text("no program\n")
    (box.rootfs / "tmp/lost").write_text("#!/no/interpreter\n")
    for name in ("text", "lost"):
        (box.rootfs / "tmp" / name).chmod(0o755)
    result = box.run(box.spec(*args))
    assert result.status == status and text in result.err, result
