"""Root file systems of base images, made from what the host's distribution ships.

Shapes follow the official images: busybox is one static program under many names, Debian a minimal installation
without caches, lists, logs or an identity of its own.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import tarfile
from collections.abc import Iterable
from typing import IO

_DIRECTORIES = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "lib": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755,
    "sbin": 0o755, "sys": 0o755, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "var": 0o755,
    "var/spool": 0o755, "var/spool/mail": 0o755, "var/www": 0o755,
}  # fmt: skip
_OWNERS = {"home": 65534, "var/www": 33}
_ACCOUNTS = (
    ("root", 0, "/root", "/bin/sh"), ("daemon", 1, "/usr/sbin", "/bin/false"), ("bin", 2, "/bin", "/bin/false"),
    ("sys", 3, "/dev", "/bin/false"), ("sync", 100, "/bin", "/bin/sync"), ("mail", 8, "/var/spool/mail", "/bin/false"),
    ("www-data", 33, "/var/www", "/bin/false"), ("operator", 37, "/var", "/bin/false"),
    ("nobody", 65534, "/home", "/bin/false"),
)  # fmt: skip
_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "uucp": 10, "mail": 8,
    "www-data": 33, "utmp": 43, "operator": 37, "wheel": 10, "users": 100, "nobody": 65534,
}  # fmt: skip
_PT_INTERP = 3

_APT_SETTINGS = {
    "docker-autoremove-suggests": 'Apt::AutoRemove::SuggestsImportant "false";\n',
    "docker-clean": (
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb '
        '/var/cache/apt/*.bin || true"; };\n'
        'APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb '
        '/var/cache/apt/*.bin || true"; };\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    ),
    "docker-gzip-indexes": 'Acquire::GzipIndexes "true";\n',
    "docker-no-languages": 'Acquire::Languages "none";\n',
}
_EMPTIED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "tmp", "var/tmp", "run", "proc", "sys")
_REMOVED = ("etc/machine-id", "etc/hostname", "etc/resolv.conf", "var/cache/ldconfig/aux-cache",
            "var/lib/dpkg/available-old", "var/lib/dpkg/status-old", "var/cache/debconf/config.dat-old",
            "var/cache/debconf/templates.dat-old")  # fmt: skip


def is_static(path: str) -> bool:
    """Whether an ELF program needs no interpreter (elf(5), PT_INTERP)."""
    with open(path, "rb") as program:
        head = program.read(4096)
    if head[:4] != b"\x7fELF" or head[4] != 2:
        return False
    offset, size, count = (*struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54))
    headers = (head[offset + number * size : offset + (number + 1) * size] for number in range(count))
    return all(struct.unpack_from("<I", header)[0] != _PT_INTERP for header in headers if len(header) == size)


def busybox_tar(program: bytes, applets: Iterable[str], modified: float) -> bytes:
    """The root file system of busybox: every applet is a hard link in /bin."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in _DIRECTORIES.items():
            _add(tar, name, modified, kind=tarfile.DIRTYPE, mode=mode, owner=_OWNERS.get(name, 0))
        _add(tar, "bin/busybox", modified, data=program, mode=0o755)
        for applet in sorted(set(applets) - {"busybox"}):
            _add(tar, f"bin/{applet}", modified, kind=tarfile.LNKTYPE, link="bin/busybox", mode=0o755)
        _add(tar, "usr/bin/env", modified, kind=tarfile.SYMTYPE, link="../../bin/env", mode=0o777)
        for name, text in _busybox_files().items():
            mode = 0o600 if name == "etc/shadow" else 0o644
            _add(tar, name, modified, data=text.encode(), mode=mode)
    return buffer.getvalue()


def _busybox_files() -> dict[str, str]:
    groups = dict(_GROUPS)
    accounts = [
        f"{name}:x:{uid}:{groups.get(name, uid)}:{name}:{home}:{shell}\n" for name, uid, home, shell in _ACCOUNTS
    ]
    return {
        "etc/passwd": "".join(accounts),
        "etc/group": "".join(f"{name}:x:{gid}:\n" for name, gid in groups.items()),
        "etc/shadow": "".join(f"{name}:*:10933:0:99999:7:::\n" for name, *_ in _ACCOUNTS),
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "etc/hosts": "",
        "etc/hostname": "",
        "etc/resolv.conf": "",
    }  # fmt: skip


def _add(
    tar: tarfile.TarFile, name: str, modified: float, *, data: bytes = b"", kind: bytes = tarfile.REGTYPE,
    link: str = "", mode: int = 0o644, owner: int = 0,
) -> None:  # fmt: skip
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.mtime = kind, link, mode, int(modified)
    member.uid = member.gid = owner
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def clean_debian(root: str, sources: str) -> None:
    """Make a fresh debootstrap tree look like the official image. `sources` is a deb822 document for apt."""
    for directory in _EMPTIED:
        _empty(f"{root}/{directory}")
    for name in _REMOVED:
        if os.path.lexists(f"{root}/{name}"):
            os.unlink(f"{root}/{name}")
    _write(f"{root}/etc/machine-id", "")
    os.makedirs(f"{root}/var/lib/apt/lists/partial", exist_ok=True)
    os.makedirs(f"{root}/var/cache/apt/archives/partial", exist_ok=True)
    for name, text in _APT_SETTINGS.items():
        _write(f"{root}/etc/apt/apt.conf.d/{name}", text)
    _write(f"{root}/etc/dpkg/dpkg.cfg.d/docker-apt-speedup", "force-unsafe-io\n")
    # Services are not to start when packages are installed in a build (policy-rc.d(8)).
    _write(f"{root}/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    if os.path.exists(f"{root}/etc/apt/sources.list"):
        os.unlink(f"{root}/etc/apt/sources.list")
    _write(f"{root}/etc/apt/sources.list.d/debian.sources", sources)


def _empty(directory: str) -> None:
    for entry in os.scandir(directory) if os.path.isdir(directory) else ():
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _write(path: str, text: str, mode: int = 0o644) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def tree_tar(root: str, target: IO[bytes]) -> None:
    """Write a directory as a tar, names sorted, owners numeric."""

    def numeric(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uname = member.gname = ""
        return member

    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(os.listdir(root)):
            tar.add(f"{root}/{name}", arcname=name, filter=numeric)
