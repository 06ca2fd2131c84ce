"""The `local` driver: directories below the data root, or anything that mount(2) can mount.

volumes/
  .sampan                 the root is ours (S29)
  <name>/                 0701
    volume.json           a copy of the row, for a database that is lost
    _data                 what containers see; mount point for volumes with `type` and `device`
    _new                  a copy-up or restore that is not complete yet; removed at start
    _snapshots/<snapshot> full copies (`volume snapshot`)
    image                 ext4 in a file, for volumes with a size limit where there are no project quotas
"""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess

from sampan.errors import InvalidArgument, SampanError
from sampan.linux import quota
from sampan.linux.mount import MNT_DETACH, MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT, UMOUNT_NOFOLLOW, mount, umount2
from sampan.linux.mountinfo import is_mount_point
from sampan.model.quantity import parse_size
from sampan.ocirun.options import Options
from sampan.tree.janitor import Janitor
from sampan.tree.marked import mark_root, remove_marked

from . import loop

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_OPTIONS = ("type", "o", "device", "size")
_SMALLEST_IMAGE = 4 << 20
REMOVED = "removed~"
"""What the directory of a removed volume is called until it is gone; no volume can have such a name."""


class Local:
    """Volumes of this host."""

    scope = "local"

    def __init__(self, root: str, owner: tuple[int, int] = (0, 0)) -> None:
        self.root = root
        self._owner = owner
        self._users: dict[str, set[str]] = {}
        self.janitor = Janitor()
        mark_root(root)

    def create(self, name: str, options: dict[str, str]) -> None:
        check_name(name)
        check_options(options)
        os.makedirs(f"{self.root}/{name}", mode=0o701, exist_ok=True)
        os.makedirs(self.path(name), mode=0o755, exist_ok=True)
        os.chmod(self.path(name), 0o755)
        if not os.listdir(self.path(name)):
            os.chown(self.path(name), *self._owner)
        if "size" in options and "device" not in options:
            self._limit(name, parse_size(options["size"]))

    def _limit(self, name: str, limit: int) -> None:
        if os.path.exists(self._image(name)):
            return  # only its mount point was lost
        if not quota.enforced(self.root):
            self._make_image(name, limit)
        elif not quota.of(self.path(name)):
            quota.limit(self.path(name), limit)

    def _image(self, name: str) -> str:
        return f"{self.root}/{name}/image"

    def _make_image(self, name: str, limit: int) -> None:
        path = self._image(name)
        with open(path, "wb") as file:
            file.truncate(max(limit, _SMALLEST_IMAGE))
        command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "root_owner=0:0,lazy_itable_init=1", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SampanError(f"{' '.join(command)}: {done.stderr.strip()}")

    def remove(self, name: str, options: dict[str, str]) -> None:
        self._users.pop(name, None)
        self._detach(name)
        if "size" in options and os.path.isdir(self.path(name)) and quota.enforced(self.root):
            quota.release(self.path(name))
        removed = f"{REMOVED}{os.urandom(16).hex()}"
        try:
            os.rename(f"{self.root}/{name}", f"{self.root}/{removed}")
        except FileNotFoundError:
            return
        self.discard(removed)

    def discard(self, removed: str) -> None:
        """Remove what a removed volume was renamed to, beside the loop."""
        self.janitor.add(lambda: remove_marked(self.root, removed), f"{self.root}/{removed}")

    def rename(self, name: str, new: str) -> None:
        """Move a volume that is not mounted."""
        self._detach(name)
        os.rename(f"{self.root}/{name}", f"{self.root}/{new}")

    def path(self, name: str) -> str:
        return f"{self.root}/{name}/_data"

    def mount(self, name: str, options: dict[str, str], user: str) -> str:
        path = self.path(name)
        if not os.path.isdir(path):
            self.create(name, options)
        if ("device" in options or os.path.exists(self._image(name))) and not is_mount_point(path):
            self._attach(name, path, options)
        self.add_user(name, user)
        return path

    def add_user(self, name: str, user: str) -> None:
        """Note who has it mounted."""
        self._users.setdefault(name, set()).add(user)

    def unmount(self, name: str, user: str) -> None:
        users = self._users.get(name, set())
        users.discard(user)
        if not users:
            self._users.pop(name, None)
            self._detach(name)

    def users(self, name: str) -> set[str]:
        """Who has it mounted."""
        return self._users.get(name, set())

    def is_attached(self, name: str) -> bool:
        """Whether something is mounted at a volume's place."""
        path = self.path(name)
        return os.path.isdir(path) and is_mount_point(path)

    def status(self, name: str) -> dict[str, object]:
        return {}

    def _attach(self, name: str, path: str, options: dict[str, str]) -> None:
        try:
            if "device" in options:
                _mount_device(path, options)
            else:
                _mount_loop(path, self._image(name), "ext4", 0, "")
                _drop_lost_and_found(path)
        except OSError as error:
            device = options.get("device", self._image(name))
            raise SampanError(
                f"failed to mount local volume: mount {device}:{path}, data: {options.get('o', '')}: "
                f"{(error.strerror or '').lower()}"
            ) from error

    def _detach(self, name: str) -> None:
        path = self.path(name)
        if self.is_attached(name):
            umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW)


def check_name(name: str) -> None:
    """Docker's rule and words for names of local volumes."""
    if len(name) == 1:
        raise InvalidArgument("volume name is too short, names should be at least two alphanumeric characters")
    if len(name) > 255:  # NAME_MAX: it is a directory's name
        raise InvalidArgument("volume name is too long, names should be at most 255 characters")
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )


def check_options(options: dict[str, str]) -> None:
    """Known keys, and `type` and `o` need a `device`."""
    for key in options:
        if key not in _OPTIONS:
            raise InvalidArgument(f'invalid option: "{key}"')
    if "size" in options:
        parse_size(options["size"])
    if ("type" in options or "o" in options) and "device" not in options:
        raise InvalidArgument('missing required option: "device"')
    if "device" in options and "type" not in options:
        raise InvalidArgument('missing required option: "type"')


def _mount_device(path: str, options: dict[str, str]) -> None:
    kind, device = options.get("type", ""), options["device"]
    parsed = Options(options.get("o", "").split(","))
    if parsed.recursive is not None:
        raise InvalidArgument(f"invalid mount option of a volume: {options['o']}")
    data = [*filter(None, parsed.data.split(",")), *parsed.extensions]
    if "loop" in data:
        data.remove("loop")
        _mount_loop(path, device, kind, parsed.flags, ",".join(data))
        return
    if kind in ("nfs", "nfs4", "cifs"):
        data = [_resolve_address(option) for option in data]
    mount(device, path, kind or None, parsed.flags, ",".join(data) or None)
    if parsed.flags & MS_BIND and parsed.flags & ~(MS_BIND | MS_REC):
        # the other flags of a bind mount count only in a second call (mount(2))
        mount(None, path, None, parsed.flags & ~MS_REC | MS_REMOUNT)
    for propagation in parsed.propagation:
        mount(None, path, None, propagation)


def _resolve_address(option: str) -> str:
    """`addr=` wants a number, people write names (the kernel does no look-ups)."""
    key, _, value = option.partition("=")
    if key != "addr":
        return option
    try:
        found = socket.getaddrinfo(value, None, proto=socket.IPPROTO_TCP)
    except OSError as error:
        raise SampanError(f"error resolving passed in network volume address: {error}") from None
    return f"addr={found[0][4][0]}"


def _mount_loop(path: str, file: str, kind: str, flags: int, data: str) -> None:
    device, fd = loop.attach(file, read_only=bool(flags & MS_RDONLY))
    try:
        mount(device, path, kind or "ext4", flags, data or None)
    finally:
        os.close(fd)


def _drop_lost_and_found(path: str) -> None:
    """A new ext4 is not empty, and a copy-up wants an empty volume."""
    try:
        if stat.S_ISDIR(os.lstat(f"{path}/lost+found").st_mode):
            os.rmdir(f"{path}/lost+found")
    except OSError:
        pass  # it holds something, or is gone already
