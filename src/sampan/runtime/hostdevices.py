"""Devices of the host that a container may use: OCI `linux.devices` and their cgroup rules."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any

from sampan.errors import InvalidArgument
from sampan.model.container import DeviceMapping, HostConfig

_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")


def devices(host: HostConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(`linux.devices`, `linux.resources.devices`); InvalidArgument in Docker's words."""
    if host.privileged:
        return [node for node, _ in _walk("/dev", "/dev", "rwm")], [{"allow": True, "access": "rwm"}]
    nodes: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for mapping in host.devices or ():
        for node, rule in _mapped(mapping):
            nodes.append(node)
            rules.append(rule)
    return nodes, rules + [_parse_rule(text) for text in host.device_cgroup_rules or ()]


def _mapped(mapping: DeviceMapping) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    inside = mapping.path_in_container or mapping.path_on_host
    access = mapping.cgroup_permissions or "rwm"
    source = os.path.realpath(mapping.path_on_host)
    found = list(_walk(source, inside, access)) if os.path.isdir(source) else [_node(source, inside, access)]
    usable = [pair for pair in found if pair is not None]
    if not usable:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{mapping.path_on_host}": '
            + ("not a device node" if os.path.exists(source) else "no such file or directory")
        )
    yield from usable


def _walk(directory: str, inside: str, access: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for name in sorted(os.listdir(directory)):
        path = f"{directory}/{name}"
        if os.path.islink(path):
            continue
        if os.path.isdir(path):
            # /dev/pts and the like are the container's own.
            if name not in ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"):
                yield from _walk(path, f"{inside}/{name}", access)
        elif name != "console" and (pair := _node(path, f"{inside}/{name}", access)) is not None:
            yield pair


def _node(path: str, inside: str, access: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
    if not kind:
        return None
    numbers = {"type": kind, "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
    node = {
        "path": inside,
        **numbers,
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
    return node, {"allow": True, **numbers, "access": access}


def _parse_rule(text: str) -> dict[str, Any]:
    match = _RULE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = match.groups()
    numbers = {name: int(value) for name, value in (("major", major), ("minor", minor)) if value != "*"}
    return {"allow": True, "type": kind, **numbers, "access": access}
