"""A real Docker Engine from Debian's packages, to compare with and to measure against.

Debian sid is bootstrapped once into `/var/tmp/sampan-peer/tree` (or `$SAMPAN_PEER`), with docker.io, buildx, Compose,
podman, runc, crun and skopeo. Each `Peer` runs a dockerd of that tree in namespaces of its own (pid, mount, network),
so that nothing of it touches the machine and all of it ends with one process.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from errno import EBUSY
from pathlib import Path

from . import machine
from .hosts import Host, Result, run
from .images import busybox_rootfs
from .leaks import CGROUP_PARENT

PACKAGES = (
    "docker.io docker-cli docker-buildx docker-compose podman runc crun containerd iptables nftables ca-certificates "
    "netavark aardvark-dns passt procps skopeo docker-registry iperf3 git"
)
_NUMBERS = itertools.count()

# pivot_root, not chroot: in a chroot, runc's setns would land in the machine's root.
_ENTER = """
set -e
mount --rbind "$TREE" "$TREE"
mount -t proc proc "$TREE/proc"
mount --rbind /dev "$TREE/dev"
mount -t sysfs sysfs "$TREE/sys"
mount --rbind /sys/fs/cgroup "$TREE/sys/fs/cgroup"
mkdir -p "$TREE$STATE"
mount --bind "$STATE" "$TREE$STATE"
cd "$TREE"
pivot_root . .
umount -l .
cd /
mount --make-rshared /
exec "$@"
"""


def home() -> Path:
    """Where the tree lives; kept between sessions because making it takes a minute or two."""
    return Path(os.environ.get("SAMPAN_PEER", "/var/tmp/sampan-peer"))


def ensure_tree() -> Path:
    """Bootstrap the tree where it is missing; its path."""
    tree = home() / "tree"
    if (tree / "usr/sbin/dockerd").exists():
        return tree
    home().mkdir(parents=True, exist_ok=True)
    shutil.rmtree(tree, ignore_errors=True)
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    mirror = next(line for line in targets.stdout.splitlines() if line.endswith("/debian/"))
    subprocess.run(
        machine.command("debootstrap", "--variant=minbase", "sid", str(tree), mirror),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (tree / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (tree / "usr/sbin/policy-rc.d").chmod(0o755)
    shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    # A mirror that lags behind serves a release file past its date.
    apt = "apt-get -qq -o Acquire::Check-Valid-Until=false"
    install = f"{apt} update && {apt} install -y --no-install-recommends {PACKAGES}"
    subprocess.run(machine.command("chroot", str(tree), "sh", "-c", install), check=True, stdout=subprocess.DEVNULL)
    return tree


class Peer:
    """One dockerd. `docker` runs the machine's stock client against it, `inside` a program of the tree."""

    name = "dockerd"

    def __init__(self, *flags: str, host: Host | None = None) -> None:
        self.host = host or Host()
        self.state = home() / f"run-{os.getpid()}-{next(_NUMBERS)}"
        self.state.mkdir(parents=True)
        self.socket = str(self.state / "d.sock")
        self.flags = list(flags)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> Peer:
        """Start dockerd and wait until it answers."""
        self.launch()
        deadline = time.monotonic() + 60
        while run(["curl", "-sf", "--unix-socket", self.socket, "http://d/_ping"]).status:
            self.check_alive()
            assert time.monotonic() < deadline, "dockerd does not answer"
            time.sleep(0.1)  # a process that has not yet bound its socket announces nothing
        return self

    def launch(self) -> None:
        """Start dockerd's process."""
        argv = [
            "dockerd", "--data-root", f"{self.state}/data", "--exec-root", f"{self.state}/exec", "-H", self.url,
            "--pidfile", f"{self.state}/pid", "--cgroup-parent", f"{CGROUP_PARENT}/peer", *self.flags,
        ]  # fmt: skip
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TREE": str(ensure_tree()), "STATE": str(self.state)}
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        with open(self.state / "log", "ab") as log:
            self._process = self.host.popen(
                *enter, "sh", "-c", _ENTER, "enter", *argv, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
            )  # fmt: skip

    def check_alive(self) -> None:
        """Fail with dockerd's log where it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"dockerd ended: {(self.state / 'log').read_text()[-2000:]}"

    def docker(self, *args: str, stdin: bytes | None = None, timeout: float = 120) -> Result:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.state), "DOCKER_HOST": self.url}
        return run(["docker", *args], env=environment, stdin=stdin, timeout=timeout)

    def ok(self, *args: str, stdin: bytes | None = None, timeout: float = 120) -> str:
        result = self.docker(*args, stdin=stdin, timeout=timeout)
        assert result.status == 0, f"docker {' '.join(args)}: {result}"
        return result.out.rstrip("\n")

    def inside(self, *argv: str) -> Sequence[str]:
        """The argument vector that runs a program of the tree beside dockerd (podman, skopeo, the sid client)."""
        daemon = self.pids()[0]
        return ["nsenter", "--target", str(daemon), "--mount", "--net", "--pid", "--", *argv]

    def descendants(self) -> list[int]:
        """Every process of the peer's pid namespace, as the machine sees them, parents first."""
        assert self._process is not None
        found, queue = [], [self._process.pid]
        while queue:
            pid = queue.pop(0)
            queue += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            found.append(pid)
        return found

    def pids(self) -> list[int]:
        """dockerd and containerd, dockerd first."""
        names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in self.descendants()}
        return [pid for pid, name in names.items() if name in ("dockerd", "containerd")]

    def load_busybox(self) -> None:
        path = "ENV PATH=/bin:/sbin:/usr/bin:/usr/sbin"
        self.ok("import", "-c", 'CMD ["sh"]', "-c", path, "-", "busybox:latest", stdin=busybox_rootfs())

    def stop(self) -> None:
        """End dockerd."""
        assert self._process is not None
        os.kill(self.pids()[0], 15)
        self._process.wait(30)
        self._process = None

    def close(self) -> None:
        """End dockerd with its containers and remove its state."""
        if self._process is None:
            self.start()
        containers = self.ok("ps", "-aq").split()
        if containers:
            self.ok("rm", "-fv", *containers)
        self.stop()
        self.host.close()
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.state)], check=True)
        for path in Path("/sys/fs/cgroup").glob(f"*{CGROUP_PARENT}/peer"):
            _remove_group(path)


def _remove_group(path: Path) -> None:
    """A control group with all below it, once the kernel is done with its processes."""
    for child in path.iterdir():
        if child.is_dir():
            _remove_group(child)
    deadline = time.monotonic() + 30
    while True:
        try:
            return path.rmdir()
        except OSError as error:
            if error.errno != EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # nothing tells when the last process is reaped
