"""`--mount`, `-v` and `--tmpfs` as Docker's client reads them."""

from __future__ import annotations

import os

from ..model import quantity
from .command import CommandFailed
from .key_values import fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Mount = dict[str, Any]

BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "": True}


def _invalid(message: str) -> CommandFailed:
    return CommandFailed(message, 125)


def _options(mount: Mount, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = mount.setdefault(kind, {})
    return options


def _boolean(key: str, value: str) -> bool:
    if value.lower() not in BOOLEANS:
        raise ValueError(f"invalid value for {key}: {value}")
    return BOOLEANS[value.lower()]


def _set_recursive(mount: Mount, value: str) -> None:
    settings = {
        "enabled": {},
        "disabled": {"NonRecursive": True},
        "writable": {"ReadOnlyNonRecursive": True},
        "readonly": {"ReadOnlyForceRecursive": True},
    }
    if value not in settings:
        raise ValueError(
            f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", or "readonly")'
        )
    _options(mount, "BindOptions").update(settings[value])


def _set_volume_label(mount: Mount, value: str) -> None:
    key, _, text = value.partition("=")
    _options(mount, "VolumeOptions").setdefault("Labels", {})[key] = text


def _set_volume_option(mount: Mount, value: str) -> None:
    key, _, text = value.partition("=")
    driver = _options(mount, "VolumeOptions").setdefault("DriverConfig", {})
    driver.setdefault("Options", {})[key] = text


def _set_source(mount: Mount, value: str) -> None:
    mount["Source"] = os.path.abspath(value) if value.startswith(".") else value


def _set_tmpfs_size(mount: Mount, value: str) -> None:
    try:
        _options(mount, "TmpfsOptions")["SizeBytes"] = quantity.parse_bytes(value)
    except ValueError:
        raise ValueError(f"invalid value for tmpfs-size: {value}") from None


def _set_tmpfs_mode(mount: Mount, value: str) -> None:
    try:
        _options(mount, "TmpfsOptions")["Mode"] = int(value, 8)
    except ValueError:
        raise ValueError(f"invalid value for tmpfs-mode: {value}") from None


SETTERS: dict[str, Callable[[Mount, str], Any]] = {
    "type": lambda mount, value: mount.__setitem__("Type", value.lower()),
    "source": _set_source,
    "target": lambda mount, value: mount.__setitem__("Target", value),
    "readonly": lambda mount, value: mount.__setitem__("ReadOnly", _boolean("readonly", value)),
    "consistency": lambda mount, value: mount.__setitem__("Consistency", value.lower()),
    "bind-propagation": lambda mount, value: _options(mount, "BindOptions").__setitem__("Propagation", value.lower()),
    "bind-nonrecursive": lambda mount, value: _options(mount, "BindOptions").__setitem__(
        "NonRecursive", _boolean("bind-nonrecursive", value)
    ),
    "bind-recursive": _set_recursive,
    "bind-create-src": lambda mount, value: _options(mount, "BindOptions").__setitem__(
        "CreateMountpoint", _boolean("bind-create-src", value)
    ),
    "idmap": lambda mount, value: _options(mount, "BindOptions").__setitem__(
        "IDMap", f"idmap={value}" if value else "idmap"
    ),
    "volume-subpath": lambda mount, value: _options(mount, "VolumeOptions").__setitem__("Subpath", value),
    "volume-nocopy": lambda mount, value: _options(mount, "VolumeOptions").__setitem__(
        "NoCopy", _boolean("volume-nocopy", value)
    ),
    "volume-label": _set_volume_label,
    "volume-driver": lambda mount, value: (
        _options(mount, "VolumeOptions").setdefault("DriverConfig", {}).__setitem__("Name", value)
    ),
    "volume-opt": _set_volume_option,
    "image-subpath": lambda mount, value: _options(mount, "ImageOptions").__setitem__("Subpath", value),
    "tmpfs-size": _set_tmpfs_size,
    "tmpfs-mode": _set_tmpfs_mode,
}
SYNONYMS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
BARE = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src", "idmap")
"""Keys that may stand without a value."""
OPTIONS_OF = {"BindOptions": "bind", "VolumeOptions": "volume", "TmpfsOptions": "tmpfs", "ImageOptions": "image"}


def parse_mount(text: str) -> Mount:
    """One `--mount`; the type defaults to volume. ValueError in the words of Docker's client."""
    if not text:
        raise ValueError("EOF")
    mount: Mount = {"Type": "volume"}
    for key, value, has_value in fields(text):
        name = key.strip().lower()
        if not has_value and name not in BARE:
            raise ValueError(f"invalid field '{key}' must be a key=value pair")
        setter = SETTERS.get(SYNONYMS.get(name, name))
        if setter is None:
            raise ValueError(f"unexpected key '{key}' in '{key}={value}'")
        setter(mount, value)
    _check_mount(mount)
    return mount


def _check_mount(mount: Mount) -> None:
    if not mount.get("Target"):
        raise ValueError("target is required")
    for options, kind in OPTIONS_OF.items():
        if options in mount and mount["Type"] != kind:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")
    _check_recursive(mount.get("BindOptions", {}), bool(mount.get("ReadOnly")))


def _check_recursive(options: dict[str, Any], read_only: bool) -> None:
    for word, field in (("writable", "ReadOnlyNonRecursive"), ("readonly", "ReadOnlyForceRecursive")):
        if options.get(field) and not read_only:
            raise ValueError(f"option 'bind-recursive={word}' requires 'readonly' to be specified in conjunction")
    if options.get("ReadOnlyForceRecursive") and options.get("Propagation") != "rprivate":
        raise ValueError(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
        )


def parse_volumes(specs: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Binds, and anonymous volumes by their path."""
    binds, anonymous = [], {}
    for spec in specs:
        source, colon, rest = spec.partition(":")
        if not spec:
            raise _invalid("invalid empty volume spec")
        if spec == ":" or (colon and not source):
            raise _invalid(f"invalid spec: {spec}: empty section between colons")
        if not colon:
            anonymous[spec] = dict[str, str]()
        elif source.startswith((".", "~")):
            binds.append(f"{os.path.abspath(os.path.expanduser(source))}:{rest}")
        else:
            binds.append(spec)
    return binds, anonymous


def parse_tmpfs(specs: list[str]) -> dict[str, str]:
    found = {}
    for spec in specs:
        path, _, options = spec.partition(":")
        found[path] = options
    return found
