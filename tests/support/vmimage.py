"""What the emulated machine boots from: Debian's cloud kernel, an initial RAM disk, and a read-only erofs image.

    /var/tmp/sampan-vm/
      kernel-<version>/      unpacked linux-image package (never installed)
      base-<digest>/         initrd, base.erofs: python3, busybox, systemd, D-Bus, their libraries, kernel modules
      code-<digest>.erofs    `vmcode`: the repository's sources and the venv's packages

Everything is keyed by what went in: the base by package versions and by this module.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from . import machine

CACHE = Path("/var/tmp/sampan-vm")
_PROGRAMS = (
    "/usr/bin/python3.11", "/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-shutdown",
    "/usr/lib/systemd/systemd-executor", "/usr/bin/systemctl", "/usr/bin/busctl", "/usr/bin/dbus-daemon",
    "/usr/bin/ip", "/usr/sbin/nft", "/usr/bin/rm", "/usr/sbin/mkfs.xfs", "/usr/sbin/mke2fs",
)  # fmt: skip
_TREES = (
    "/usr/lib/python3.11", "/usr/lib/systemd/system/dbus.service", "/usr/lib/systemd/system/dbus.socket",
    "/usr/share/dbus-1/system.conf", "/usr/share/dbus-1/system.d", "/usr/share/dbus-1/system-services",
)  # fmt: skip
_LIBRARIES = ("libseccomp.so.2", "libcrypt.so.1", "libssl.so.3", "libffi.so.8", "libsqlite3.so.0", "libbz2.so.1.0",
              "liblzma.so.5", "libuuid.so.1", "libz.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1",
              "libgcc_s.so.1", "libstdc++.so.6", "libutil.so.1")  # fmt: skip
_LEFT_OUT = ("test", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "dist-packages", "pydoc_data")
_UNITS = ("basic", "sysinit", "sockets", "shutdown", "umount", "final", "slices", "paths", "timers", "poweroff")
_MODULES = (
    "virtio_pci", "virtio_blk", "virtio_console", "virtio-rng", "erofs", "overlay", "loop", "bridge", "veth",
    "br_netfilter", "nf_tables", "nft_chain_nat", "nft_ct", "nft_masq", "nft_nat", "nft_redir", "nft_fib_inet",
    "nft_reject_inet", "nft_objref", "nft_log", "nft_limit", "nft_numgen", "nft_hash", "nf_conntrack", "nf_nat",
    "nf_conntrack_netlink", "dummy", "bfq", "tun", "xt_conntrack", "autofs4", "brd", "unix_diag",
    "vxlan", "macvlan", "ipvlan", "8021q", "sctp", "xfrm_user", "esp4", "esp6", "authenc", "echainiv", "drbg",
    "jitterentropy_rng", "ctr", "xfs", "quota_v2", "binfmt_misc",
)  # fmt: skip
_META = "linux-image-cloud-amd64"
_EARLY = ("virtio_pci", "virtio_blk", "virtio_console", "virtio-rng", "erofs", "overlay")
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /base /code /up /new
mount() { /bin/busybox mount "$@"; }
mount -t proc proc /proc; mount -t devtmpfs dev /dev
/bin/busybox grep -q systemd= /proc/cmdline || mount -t sysfs sys /sys
for module in $(/bin/busybox cat /modules.load); do /bin/busybox insmod "$module"; done
until [ -b /dev/vda ] && [ -b /dev/vdb ]; do /bin/busybox usleep 10000; done
mount -t erofs -o ro /dev/vda /base; mount -t erofs -o ro /dev/vdb /code; mount -t tmpfs -o size=75% up /up
/bin/busybox mkdir /up/upper /up/work
mount -t overlay -o lowerdir=/code:/base,upperdir=/up/upper,workdir=/up/work root /new
mount -t tmpfs -o size=75% var /new/var
for point in proc dev sys; do mount -o move /$point /new/$point; done
exec /bin/busybox switch_root /new /opt/guest/init
"""


def output(*argv: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def made(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, made under another name first: two test sessions may want it at the same time."""
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=CACHE, prefix="making-"))
        try:
            result = staging / path.name
            make(result)
            os.rename(result, path)
        except OSError:
            if not path.exists():
                raise  # else the other session was faster
        finally:
            shutil.rmtree(staging)
    return path


@functools.cache
def kernel() -> Path:
    """The unpacked kernel package; `vmlinuz()` and `modules()` are in it."""
    dependencies = output("apt-cache", "depends", _META).split()
    package = next(word for word in dependencies if word.startswith("linux-image-") and word != _META)

    def make(path: Path) -> None:
        # apt drops to a user of its own, which cannot write here; the package's signature is checked all the same.
        apt = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package]
        subprocess.run(machine.command(*apt), cwd=path.parent, check=True)
        archive = next(path.parent.glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(archive), str(path)], check=True)

    return made(CACHE / package.replace("linux-image", "kernel"), make)


def vmlinuz() -> Path:
    return next((kernel() / "boot").glob("vmlinuz-*"))


def _modinfo(path: Path, key: str) -> list[str]:
    """The values of one key in a module's .modinfo section: `key=value` between zeros."""
    return [found.decode() for found in re.findall(rb"\0" + key.encode() + rb"=([^\0]*)", path.read_bytes())]


@functools.cache
def _files() -> dict[str, Path]:
    root = next((kernel() / "lib/modules").iterdir())
    return {path.stem.replace("-", "_"): path for path in root.rglob("*.ko")}


def _needs(name: str) -> list[str]:
    listed = ",".join(_modinfo(_files()[name], "depends")).split(",")
    return [other.replace("-", "_") for other in listed if other]


def _modules(names: Iterable[str]) -> list[Path]:
    """Module files in the order of loading, dependencies first."""
    found: list[str] = []

    def add(name: str) -> None:
        if name not in found:
            for other in _needs(name):
                add(other)
            found.append(name)

    for name in names:
        add(name.replace("-", "_"))
    return [_files()[name] for name in found]


def _add_modules(tree: Path) -> None:
    """The modules, and what modprobe reads about them (busybox's depmod takes a minute)."""
    dependencies, aliases = [], []
    for module in _modules(_MODULES):
        target = tree / "usr" / module.relative_to(kernel())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(module, target)
        root = next((tree / "usr/lib/modules").iterdir())
        others = _modules(_needs(module.stem.replace("-", "_")))
        origin = next((kernel() / "lib/modules").iterdir())
        names = " ".join(str(other.relative_to(origin)) for other in reversed(others))
        dependencies.append(f"{target.relative_to(root)}: {names}\n")
        aliases += [f"alias {alias} {module.stem.replace('-', '_')}\n" for alias in _modinfo(module, "alias")]
    (root / "modules.dep").write_text("".join(dependencies))
    (root / "modules.alias").write_text("".join(aliases))


def digest(*parts: str) -> str:
    """A short key for what something was made from."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def base() -> Path:
    """The directory with `initrd` and `base.erofs`."""
    packages = ("python3.11-minimal", "libc6", "libseccomp2", "libssl3", "busybox-static", "systemd", "dbus-daemon",
                "iproute2", "nftables", "xfsprogs", "e2fsprogs")  # fmt: skip
    versions = output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages)
    key = digest(versions, str(kernel()), Path(__file__).read_text())

    def make(path: Path) -> None:
        path.mkdir()
        tree = path.parent / "tree"
        _fill_base(tree)
        erofs(path / "base.erofs", tree)
        _initrd(path / "initrd", path.parent / "early")

    return made(CACHE / f"base-{key}", make)


def _fill_base(tree: Path) -> None:
    for name in ("usr/bin", "usr/lib", "etc", "proc", "sys", "dev", "run", "tmp", "root", "var", "opt", "mnt"):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to("usr/lib" if name.startswith("lib") else "usr/bin")
    (tree / "usr/sbin").symlink_to("bin")
    for path in (*_PROGRAMS, *_TREES, *(f"/usr/lib/systemd/system/{name}.target" for name in _UNITS)):
        if os.path.exists(path):
            _copy(path, tree)
    for name in _LEFT_OUT:
        shutil.rmtree(tree / "usr/lib/python3.11" / name, ignore_errors=True)
    for name in ("usr/bin/python3", "usr/lib/x86_64-linux-gnu"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / "usr/bin/python3").symlink_to("python3.11")
    _copy_libraries(tree)
    _link_busybox(tree)
    _add_modules(tree)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nmessagebus:x:101:101::/:/bin/false\n")
    (tree / "etc/group").write_text("root:x:0:\nmessagebus:x:101:\n")
    (tree / "etc/os-release").write_text('ID=debian\nPRETTY_NAME="Debian in a test machine"\n')
    (tree / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")


def _copy(path: str, tree: Path) -> None:
    target = tree / os.path.realpath(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", os.path.realpath(path), str(target)], check=True)


def _copy_libraries(tree: Path) -> None:
    """Whatever the programs in the tree are linked with, and what Python's own modules open."""
    lines = output("ldconfig", "-p").splitlines()
    known = {line.split()[0]: line.split(" => ")[1] for line in reversed(lines) if " => " in line and "x86-64" in line}
    opened = [known[name] for name in _LIBRARIES if name in known]
    programs = [path for path in _PROGRAMS if os.path.exists(path)]
    words = output("ldd", *programs, *opened).split()
    needed = {word for word in words if word.startswith("/") and not word.endswith(":")}
    for path in {*needed, *opened, "/lib64/ld-linux-x86-64.so.2"}:
        target = tree / "usr" / path.removeprefix("/usr").lstrip("/").replace("lib64/", "lib/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(path), target)


def _link_busybox(tree: Path) -> None:
    shutil.copy2("/bin/busybox", tree / "usr/bin/busybox")
    for applet in output("busybox", "--list").split():
        link = tree / "usr/bin" / applet
        if not link.exists() and applet != "busybox":
            link.symlink_to("busybox")


def _initrd(path: Path, tree: Path) -> None:
    (tree / "bin").mkdir(parents=True)
    shutil.copy2("/bin/busybox", tree / "bin/busybox")
    loads = []
    for module in _modules(_EARLY):
        shutil.copy2(module, tree / module.name)
        loads.append(f"/{module.name}")
    (tree / "modules.load").write_text("\n".join(loads))
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    with open(path, "wb") as file:
        names = subprocess.run(["find", "."], cwd=tree, capture_output=True, check=True).stdout
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=tree, input=names, stdout=file, check=True,
                       stderr=subprocess.DEVNULL)  # fmt: skip


def erofs(path: Path, tree: Path) -> None:
    """Make a read-only image of a tree."""
    subprocess.run(["mkfs.erofs", str(path), str(tree)], check=True, stdout=subprocess.DEVNULL)
