"""`-v` and `--mount` texts to mount points, with Docker's rules and words. Reads nothing but whether a path exists."""

from __future__ import annotations

import os
import posixpath

from msgspec import Struct

from ..errors import InvalidArgument
from ..model import idmap
from ..model.container import BindOptions, DriverConfig, Mount, VolumeOptions
from ..model.idmap import IdMap

READ_WRITE = ("rw", "ro")
LABELS = ("z", "Z")
COPY = ("nocopy",)
CONSISTENCY = ("consistent", "cached", "delegated", "default")
PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
OWN_MAP = "idmap"
_KINDS = (READ_WRITE, LABELS, COPY, CONSISTENCY, PROPAGATIONS)

_TMPFS_FLAGS = (
    "exec", "noexec", "nosuid", "suid", "nodev", "dev", "ro", "rw", "sync", "async", "dirsync", "atime", "noatime",
    "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "remount", "defaults",
    "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable", "bind", "rbind",
    "mand", "nomand",
)  # fmt: skip
_TMPFS_DATA = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge")


class Spec(Struct, frozen=True):
    """A mount as it was asked for: Docker's `Mount` and the text of its mode."""

    mount: Mount
    mode: str = ""

    @property
    def target(self) -> str:
        return posixpath.normpath(self.mount.target)


def parse_bind(text: str, volume_driver: str) -> Spec:
    """One entry of HostConfig.Binds: `[source:]target[:mode]`."""
    parts = text.split(":")
    mode = parts[2] if len(parts) == 3 else ""
    if len(parts) > 3 or not text or not parts[0] or (len(parts) == 2 and is_valid_mode(parts[1])):
        raise InvalidArgument(f"invalid volume specification: '{text}'")
    if mode and not is_valid_mode(mode):
        raise InvalidArgument(f"invalid mode: {mode}")
    source, target = ("", parts[0]) if len(parts) == 1 else parts[:2]
    mount = _from_mode(source, target, mode.split(","), volume_driver)
    try:
        validate(mount, must_exist=False)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid volume specification: '{text}': {error}") from None
    return Spec(mount, mode)


def _from_mode(source: str, target: str, options: list[str], volume_driver: str) -> Mount:
    is_bind = source.startswith("/")
    propagation = next((option for option in options if option in PROPAGATIONS), "")
    id_map = next((option for option in options if _is_map(option)), "")
    volume = None
    if not is_bind:
        driver = DriverConfig(volume_driver) if volume_driver else None
        volume = VolumeOptions(no_copy="nocopy" in options, driver_config=driver)
    return Mount(
        type="bind" if is_bind else "volume",
        source=posixpath.normpath(source) if is_bind else source,
        target=target,
        read_only="ro" in options,
        bind_options=BindOptions(propagation=propagation, id_map=id_map) if propagation or id_map else None,
        volume_options=volume,
    )


def is_valid_mode(mode: str) -> bool:
    """At most one option of each kind, and nothing else."""
    if not mode:
        return False
    options = mode.split(",")
    plain = [option for option in options if not _is_map(option)]
    return (
        len(options) - len(plain) <= 1
        and all(any(option in kind for kind in _KINDS) for option in plain)
        and all(sum(option in kind for option in plain) <= 1 for kind in _KINDS)
    )


def _is_map(option: str) -> bool:
    """`idmap`, as podman has it: the container's own map; or with one of its own."""
    return option == OWN_MAP or option.startswith(f"{OWN_MAP}=")


def id_map(text: str) -> IdMap | None:
    """The map that an option names; None for the container's own. InvalidArgument."""
    return None if text == OWN_MAP else idmap.parse(text.removeprefix(f"{OWN_MAP}="))


def parse_volumes_from(text: str) -> tuple[str, bool]:
    """`container[:mode]` to the container and whether its volumes stay writable."""
    container, colon, mode = text.partition(":")
    if not container:
        raise InvalidArgument("volumes-from specification cannot be an empty string")
    if colon and (not is_valid_mode(mode) or any(option in PROPAGATIONS + COPY for option in mode.split(","))):
        raise InvalidArgument(f"invalid mode: {mode}")
    return container, "ro" not in mode.split(",")


def parse_mount(mount: Mount) -> Spec:
    """One entry of HostConfig.Mounts, validated."""
    validate(mount, must_exist=True)
    return Spec(mount)


def validate(mount: Mount, must_exist: bool) -> None:
    """Docker's checks of a mount; the text says which type and what is wrong."""
    wrong = _wrong(mount, must_exist)
    if wrong:
        raise InvalidArgument(f'invalid mount config for type "{mount.type}": {wrong}')


def _wrong(mount: Mount, must_exist: bool) -> str:
    check = _CHECKS.get(mount.type)
    if not mount.target:
        return "field Target must not be empty"
    if posixpath.normpath(mount.target) in ("/", "//"):
        return "invalid specification: destination can't be '/'"
    if not mount.target.startswith("/"):
        return f"invalid mount path: '{mount.target}' mount path must be absolute"
    if check is None:
        return "mount type unknown"
    for name, options in (
        ("BindOptions", mount.bind_options), ("VolumeOptions", mount.volume_options),
        ("ImageOptions", mount.image_options), ("TmpfsOptions", mount.tmpfs_options),
    ):  # fmt: skip
        if options is not None and name != _OPTIONS_OF[mount.type]:
            return f"field {name} must not be specified"
    return check(mount, must_exist)


def _wrong_bind(mount: Mount, must_exist: bool) -> str:
    if not mount.source:
        return "field Source must not be empty"
    options = mount.bind_options or BindOptions()
    if options.propagation and options.propagation not in PROPAGATIONS:
        return f"invalid propagation mode: {options.propagation}"
    if options.id_map:
        id_map(options.id_map)
    if options.read_only_non_recursive and options.read_only_force_recursive:
        return "ReadOnlyNonRecursive and ReadOnlyForceRecursive are mutually exclusive"
    if not mount.source.startswith("/"):
        return f"invalid mount path: '{mount.source}' mount path must be absolute"
    if must_exist and not options.create_mountpoint and not os.path.lexists(mount.source):
        return f"bind source path does not exist: {mount.source}"
    return ""


def _wrong_volume(mount: Mount, must_exist: bool) -> str:
    subpath = mount.volume_options.subpath if mount.volume_options else ""
    if subpath.startswith("/") or ".." in subpath.split("/"):
        return "subpath must be a relative path within the volume"
    if mount.source:
        return ""
    if mount.read_only:
        return "must not set ReadOnly mode when using anonymous volumes"
    if subpath:
        return "must not set Subpath when using anonymous volumes"
    return ""


def _wrong_tmpfs(mount: Mount, must_exist: bool) -> str:
    if mount.source:
        return "field Source must not be specified"
    return ""


def _wrong_image(mount: Mount, must_exist: bool) -> str:
    return "" if mount.source else "field Source must not be empty"


_CHECKS = {"bind": _wrong_bind, "volume": _wrong_volume, "tmpfs": _wrong_tmpfs, "image": _wrong_image}
_OPTIONS_OF = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions", "image": "ImageOptions"}


def tmpfs_options(text: str) -> list[str]:
    """The options of a `--tmpfs` text over Docker's defaults; InvalidArgument names an unknown one."""
    options = ["noexec", "nosuid", "nodev"]
    for option in filter(None, text.split(",")):
        key = option.partition("=")[0]
        if option not in _TMPFS_FLAGS and key not in _TMPFS_DATA:
            raise InvalidArgument(f'invalid tmpfs option "{option}"')
        opposite = option[2:] if option.startswith("no") else f"no{option}"
        options = [kept for kept in options if kept not in (opposite, option) and kept.partition("=")[0] != key]
        options.append(option)
    return options


def tmpfs_mount_options(mount: Mount) -> list[str]:
    """The same of a `--mount type=tmpfs`."""
    options = mount.tmpfs_options
    words = ["ro"] if mount.read_only else []
    if options is not None:
        if options.mode:
            words.append(f"mode={options.mode:o}")
        if options.size_bytes:
            words.append(f"size={options.size_bytes}")
        words.extend("=".join(pair) for pair in options.options or ())
    return tmpfs_options(",".join(words))
