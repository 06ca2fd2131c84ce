"""S03–S07: descriptors, masks, /proc, paths inside the root."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sampan.model.container import ContainerConfig
from sampan.ocirun import process
from sampan.ocirun.failure import RuntimeFailed
from sampan.runtime.bundle import BundleMount
from tests.support.bundles import Bundle


def test_s03_only_standard_descriptors_survive(box: Bundle) -> None:
    """Descriptors that the caller leaves open, inheritable or not, reach neither run nor exec."""
    leaked = [os.open("/", os.O_RDONLY) for _ in range(3)]
    for fd in leaked:
        os.set_inheritable(fd, True)
    script = "cd /proc/self/fd && ls"
    box.write(box.spec("sh", "-c", script))
    ran = box.call("run", "--bundle", str(box.directory), box.new_id(), pass_fds=leaked)
    container_id = box.start()
    executed = box.call("exec", container_id, "sh", "-c", script, pass_fds=leaked)
    for fd in leaked:
        os.close(fd)
    assert ran.out.split()[:3] == executed.out.split()[:3] == ["0", "1", "2"]
    assert len(ran.out.split()) <= 4 and len(executed.out.split()) <= 4  # and ls's own of the directory


def test_s03_a_working_directory_behind_a_descriptor_is_refused(box: Bundle) -> None:
    """CVE-2024-21626: /proc/self/fd/<n> of a leaked directory of the host."""
    spec = box.spec("ls", "/proc/self/cwd/")
    for fd in range(3, 11):
        spec["process"]["cwd"] = f"/proc/self/fd/{fd}/../../.."
        result = box.run(spec)
        assert result.status != 0 or "rootfs" not in result.out, result


def test_s03_a_working_directory_outside_the_root_is_refused_in_exec(box: Bundle) -> None:
    container_id = box.start()
    for fd in range(3, 9):
        result = box.call("exec", "--cwd", f"/proc/self/fd/{fd}", container_id, "ls", "/proc/self/cwd/")
        # The only directory among our descriptors there is the container's own root.
        assert result.status == 255 or "bin" in result.out.split(), result


def test_s03_a_directory_that_the_root_does_not_hold_is_no_working_directory(tmp_path: Path) -> None:
    """As a process finds it that was handed a directory of the host."""
    outside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    pid = os.fork()
    if pid == 0:
        try:
            os.chroot(tmp_path)
            os.fchdir(outside)
            process.verify_directory()
        except RuntimeFailed:
            os._exit(0)
        finally:
            os._exit(1)
    os.close(outside)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def own_dev(box: Bundle, spec: dict[str, Any]) -> Path:
    """Give a container a /dev of its own, of which the runtime fills nothing; the directory."""
    dev = box.directory / "dev"
    dev.mkdir()
    spec["mounts"] = [mount for mount in spec["mounts"] if not mount["destination"].startswith("/dev")]
    spec["mounts"].append({"destination": "/dev", "type": "bind", "source": str(dev), "options": ["bind"]})
    return dev


@pytest.mark.parametrize("kind", ["file", "link", "zero"])
def test_s04_a_mask_is_never_what_a_container_calls_null(box: Bundle, kind: str) -> None:
    """CVE-2025-31133: whatever lies at /dev/null, the mask is the null device."""
    spec = box.spec("stat", "-c", "%t:%T", "/proc/keys")
    null = own_dev(box, spec) / "null"
    if kind == "link":
        null.symlink_to("/proc/sys/kernel/core_pattern")
    else:
        os.mknod(null, (stat.S_IFREG if kind == "file" else stat.S_IFCHR) | 0o666, os.makedev(1, 5))
    assert box.run(spec).out == "1:3\n"


def test_s04_masks_are_the_null_device_itself(box: Bundle) -> None:
    """CVE-2025-31133: an image that brings its own /dev/null as a link must not aim the mask."""
    (box.rootfs / "dev/null").symlink_to("/proc/sys/kernel/core_pattern")
    out = box.out("stat -c '%t:%T' /proc/keys /dev/null; wc -c < /proc/keys")
    assert out.split() == ["1:3", "1:3", "0"]


@pytest.mark.parametrize("own", [True, False])
def test_s04_a_mask_is_no_way_to_the_hosts_null_device(box: Bundle, own: bool) -> None:
    """Root of a container may do to its masks what it likes: the machine's /dev/null keeps its mode and owner."""
    before = os.stat("/dev/null")
    spec = box.spec("sh", "-c", "for f in /proc/keys /proc/timer_list; do chmod 0 $f; chown 9 $f; done; true")
    if not own:
        own_dev(box, spec)
    assert box.run(spec).status == 0
    after = os.stat("/dev/null")
    os.chmod("/dev/null", before.st_mode & 0o7777)  # a machine whose null device is root's alone is none
    os.chown("/dev/null", before.st_uid, before.st_gid)
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


@pytest.mark.parametrize("link", ["../..", "{directory}"])
def test_s04_a_console_is_mounted_by_descriptor(box: Bundle, link: str) -> None:
    """CVE-2025-52565: /dev/console as a link of the image is never followed out of its root."""
    victim = box.directory / "victim"
    victim.write_text("host")
    spec = box.spec("stat", "-L", "-c", "%t", "/dev/console", config=ContainerConfig(tty=True))
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != "/dev"]
    (box.rootfs / "dev/pts").mkdir()
    place = f"{link.format(directory=box.directory)}/victim"
    (box.rootfs / "dev/console").symlink_to(place)
    within = box.rootfs / place.lstrip("./")
    within.parent.mkdir(parents=True, exist_ok=True)
    within.touch()
    done = subprocess.run(
        [*box.command, "run", "--bundle", str(box.directory), box.new_id()], input=b"", capture_output=True,
        check=False, timeout=30,
    ) if box.write(spec) is None else None  # fmt: skip
    assert done is not None
    assert done.stdout.split() == [b"88"], "a terminal, inside the container"
    assert victim.read_text() == "host" and not victim.is_mount()


def test_s05_sysctls_go_to_a_verified_procfs(box: Bundle) -> None:
    """CVE-2019-19921: a volume on /proc catches no write, and is refused."""
    fake = box.directory / "fake"
    (fake / "sys/net/ipv4").mkdir(parents=True)
    (fake / "sys/net/ipv4/ip_forward").write_text("0")
    spec = box.spec("true")
    spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    spec["mounts"].append(
        {"destination": "/proc/sys", "type": "bind", "source": str(fake / "sys"), "options": ["bind"]}
    )
    spec["linux"]["readonlyPaths"] = []
    box.run(spec)
    assert (fake / "sys/net/ipv4/ip_forward").read_text() == "0"
    plain = box.spec("true")
    plain["mounts"] = [mount for mount in plain["mounts"] if mount["destination"] != "/proc"]
    plain["linux"] |= {"readonlyPaths": [], "maskedPaths": [], "sysctl": {"net.ipv4.ip_forward": "1"}}
    shutil.copytree(fake / "sys", box.rootfs / "proc/sys")
    assert box.run(plain).status == 0
    assert (box.rootfs / "proc/sys/net/ipv4/ip_forward").read_text() == "0", "a directory called /proc is no procfs"
    shutil.rmtree(box.rootfs / "proc/sys")
    for place in ("/proc/self/attr", "/proc/1"):
        spec["mounts"][-1]["destination"] = place
        result = box.run(spec)
        assert result.status == 1 and "inside /proc" in result.err, result


@pytest.mark.parametrize("target", ["/../../../../../../../..", "/proc/1/root", "../../victim"])
def test_s06_mount_targets_stay_inside(box: Bundle, target: str) -> None:
    """A destination whose parent is a link out of the root resolves inside it."""
    victim = box.directory / "victim"
    victim.mkdir()
    (box.rootfs / "escape").symlink_to(target)
    source = box.directory / "source"
    source.mkdir()
    (source / "mark").touch()
    mounts = [BundleMount("/escape/victim", "bind", str(source), ("bind",))]
    box.run(box.spec("ls", "/victim", mounts=mounts))
    assert list(victim.iterdir()) == []
    assert not Path("/victim").exists()


def test_s06_two_containers_racing_a_volume(box: Bundle) -> None:
    """CVE-2021-30465: a mount target inside a shared volume is swapped for a link while the other container starts."""
    volume = box.directory / "volume"
    volume.mkdir()
    (volume / "target").mkdir()
    outside = box.directory / "outside"
    outside.mkdir()
    stop = threading.Event()
    swapper = subprocess.Popen(
        [
            sys.executable, "-c",
            "import os, sys\n"
            "os.chdir(sys.argv[1]); os.symlink('/../../../../../../../../' + sys.argv[2].lstrip('/'), 'link')\n"
            "while True:\n"
            "    os.rename('target', 'aside'); os.rename('link', 'target'); os.rename('target', 'link')\n"
            "    os.rename('aside', 'target')\n",
            str(volume), str(outside),
        ]
    )  # fmt: skip
    mounts = [
        BundleMount("/volume", "bind", str(volume), ("rbind", "rprivate")),
        BundleMount("/volume/target", "tmpfs", "tmpfs", ("mode=755",)),
    ]
    try:
        for _ in range(8):
            result = box.run(box.spec("grep", "-c", "/volume", "/proc/self/mountinfo", mounts=mounts))
            # It either works, inside, or says that the place was not to be used.
            assert result.status in (0, 1), result
            assert not any("outside" in line for line in Path("/proc/self/mountinfo").read_text().splitlines())
    finally:
        stop.set()
        swapper.kill()
        swapper.wait()
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_s07_a_root_whose_proc_is_a_link_is_refused(box: Bundle, name: str) -> None:
    (box.rootfs / name).rmdir()
    (box.rootfs / "elsewhere").mkdir()
    (box.rootfs / name).symlink_to("elsewhere")
    result = box.run(box.spec("true"))
    assert result.status == 1 and "must be mounted on ordinary directory" in result.err, result
