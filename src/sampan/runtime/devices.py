"""Devices of a container: nodes to make and rules of the control group."""

from __future__ import annotations

import os
import stat
from typing import Any

from ..errors import InvalidArgument, SampanError
from ..model.container import DeviceMapping, HostConfig

_DENY_ALL = {"allow": False, "access": "rwm"}
_ALLOW_ALL = {"allow": True, "access": "rwm"}
# The nodes that every /dev has (config-linux.md, «Default Devices») and, as with runc, /dev/net/tun.
_BASIC = ((1, 5), (1, 3), (1, 9), (1, 8), (1, 7), (5, 0), (5, 1), (10, 200))
_NOT_COPIED = ("pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev")


class Devices:
    """`nodes`: OCI linux.devices; `rules`: OCI linux.resources.devices."""

    def __init__(self, host: HostConfig) -> None:
        self.nodes: list[dict[str, Any]] = []
        if host.privileged:
            self.nodes = _below("/dev", "/dev")
            self.rules = [_DENY_ALL, _ALLOW_ALL]
            self._add_mapped([entry for entry in host.devices or () if entry.path_on_host != entry.path_in_container])
            return
        basic = [{"allow": True, "type": "c", "major": a, "minor": b, "access": "rwm"} for a, b in _BASIC]
        self.rules = [_DENY_ALL, *basic]
        self._add_mapped(host.devices or [])
        self.rules += [_rule(text) for text in host.device_cgroup_rules or ()]

    def _add_mapped(self, mappings: list[DeviceMapping]) -> None:
        for mapping in mappings:
            for node in mapped(mapping):
                self.nodes.append(node)
                self.rules.append(
                    {
                        "allow": True,
                        "type": node["type"],
                        "major": node["major"],
                        "minor": node["minor"],
                        "access": mapping.cgroup_permissions or "rwm",
                    }
                )


def mapped(mapping: DeviceMapping) -> list[dict[str, Any]]:
    """The nodes of one `--device`: one, or all below a directory."""
    source = os.path.realpath(mapping.path_on_host)
    target = mapping.path_in_container or mapping.path_on_host
    try:
        found = os.stat(source)
    except OSError as error:
        raise _not_gathered(mapping, (error.strerror or "").lower()) from error
    if stat.S_ISDIR(found.st_mode):
        nodes = list(_below(source, target))
        if nodes:
            return nodes
    elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        return [_node(found, target)]
    raise _not_gathered(mapping, "not a device node")


def _not_gathered(mapping: DeviceMapping, reason: str) -> SampanError:
    return SampanError(
        f'error gathering device information while adding custom device "{mapping.path_on_host}": {reason}'
    )


def _node(found: os.stat_result, path: str) -> dict[str, Any]:
    return {
        "path": path,
        "type": "c" if stat.S_ISCHR(found.st_mode) else "b",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _below(source: str, target: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NOT_COPIED:
                    nodes += _below(entry.path, f"{target}/{entry.name}")
            elif entry.name != "console" and not entry.is_symlink() and not entry.is_file():
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
                    nodes.append(_node(found, f"{target}/{entry.name}"))
    return nodes


def _rule(text: str) -> dict[str, Any]:
    """`c 13:* rw` of --device-cgroup-rule."""
    try:
        kind, numbers, access = text.split()
        major, minor = (-1 if word == "*" else int(word) for word in numbers.split(":"))
    except ValueError:
        raise InvalidArgument(f"invalid device cgroup rule format: '{text}'") from None
    if kind not in "abc" or set(access) - set("rwm"):
        raise InvalidArgument(f"invalid device cgroup rule format: '{text}'")
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}
