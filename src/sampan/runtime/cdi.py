"""Devices by Container Device Interface: `vendor.com/class=name`, described by files of the operator (CDI 0.3 to 1.0).

A file names one kind and its devices; each device, and the file as a whole, has edits of the OCI configuration. Files
of later directories win over earlier ones; a device that two files of one directory describe is nobody's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ..errors import InvalidArgument, SampanError

DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
LARGEST = 4 << 20


class _Struct(Struct, rename="camel", frozen=True):
    """Base of what the files hold; unknown keys are of a later version."""


class DeviceNode(_Struct, frozen=True):
    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class Mount(_Struct, frozen=True):
    host_path: str
    container_path: str
    options: list[str] = []
    type: str = ""


class Hook(_Struct, frozen=True):
    hook_name: str
    path: str
    args: list[str] = []
    env: list[str] = []
    timeout: int | None = None


class Edits(_Struct, frozen=True):
    """What a device changes in a container."""

    env: list[str] = []
    device_nodes: list[DeviceNode] = []
    mounts: list[Mount] = []
    hooks: list[Hook] = []
    additional_gids: list[int] = []


class _Device(_Struct, frozen=True):
    name: str
    container_edits: Edits = Edits()


class _Spec(_Struct, frozen=True):
    cdi_version: str
    kind: str
    devices: list[_Device] = []
    container_edits: Edits = Edits()


class _Found(_Struct, frozen=True):
    file: str
    shared: Edits
    own: Edits


class Devices:
    """The devices that the files in some directories describe, by full name; `errors` tells of files left out."""

    def __init__(self, directories: Sequence[str]) -> None:
        self.errors: dict[str, str] = {}
        self._found: dict[str, _Found] = {}
        for directory in directories:
            self._found |= self._read_directory(directory)

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def names(self) -> list[str]:
        return sorted(self._found)

    def _read_directory(self, directory: str) -> dict[str, _Found]:
        found: dict[str, _Found] = {}
        doubled = set()
        for file, spec in self._specs(directory):
            for device in spec.devices:
                name = f"{spec.kind}={device.name}"
                if name in found:
                    doubled.add(name)
                    self.errors[file] = f"conflicting device {name} (specs {file}, {found[name].file})"
                found[name] = _Found(file, spec.container_edits, device.container_edits)
        return {name: one for name, one in found.items() if name not in doubled}

    def _specs(self, directory: str) -> Iterator[tuple[str, _Spec]]:
        try:
            names = sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            if name.endswith((".json", ".yaml", ".yml")):
                path = f"{directory}/{name}"
                try:
                    yield path, _read(path)
                except (OSError, ValueError, SampanError) as error:
                    self.errors[path] = str(error)

    def edits(self, names: Iterable[str]) -> list[Edits]:
        """What injects these devices, a file's own edits once and first; Docker's words for what is not described."""
        wanted = list(names)
        missing = [name for name in wanted if name not in self._found]
        if missing:
            raise InvalidArgument(f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}")
        made: list[Edits] = []
        seen = set()
        for found in (self._found[name] for name in wanted):
            if found.file not in seen:
                seen.add(found.file)
                made.append(found.shared)
            made.append(found.own)
        return made


def _read(path: str) -> _Spec:
    with open(path, "rb") as file:
        data = file.read(LARGEST)
    if path.endswith(".json"):
        document = msgspec.json.decode(data)
    else:
        import yaml  # 15 ms; hardly anybody has such a file

        try:
            document = yaml.safe_load(data)
        except yaml.YAMLError as error:
            raise InvalidArgument(str(error)) from error
    return msgspec.convert(document, _Spec)


def inject(spec: dict[str, Any], edits: Iterable[Edits]) -> None:
    """Apply edits to an OCI configuration."""
    for one in edits:
        _inject(spec, one)


def _inject(spec: dict[str, Any], edits: Edits) -> None:
    process, linux = spec["process"], spec["linux"]
    names = {variable.partition("=")[0] for variable in edits.env}
    process["env"] = [one for one in process["env"] if one.partition("=")[0] not in names] + edits.env
    gids = process["user"]["additionalGids"]
    process["user"]["additionalGids"] = list(dict.fromkeys([*gids, *(gid for gid in edits.additional_gids if gid)]))
    for device in edits.device_nodes:
        node = _node(device)
        linux["devices"] = [one for one in linux["devices"] if one["path"] != node["path"]] + [node]
        linux["resources"]["devices"].append(_rule(node, device.permissions or "rwm"))
    for mount in edits.mounts:
        made = {"destination": mount.container_path, "source": mount.host_path, "type": mount.type or "bind",
                "options": mount.options or ["bind"]}  # fmt: skip
        spec["mounts"] = [one for one in spec["mounts"] if one["destination"] != mount.container_path] + [made]
    for hook in edits.hooks:
        spec.setdefault("hooks", {}).setdefault(hook.hook_name, []).append(_hook(hook))


def _node(device: DeviceNode) -> dict[str, Any]:
    source = device.host_path or device.path
    kind, major, minor, mode = device.type, device.major, device.minor, device.file_mode
    if not kind or not (major or minor):
        try:
            found = os.stat(source)
        except OSError as error:
            raise SampanError(f"CDI device injection failed: {source}: {(error.strerror or '').lower()}") from error
        if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            raise SampanError(f"CDI device injection failed: {source}: not a device node")
        kind = kind or ("c" if stat.S_ISCHR(found.st_mode) else "b")
        major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        mode = stat.S_IMODE(found.st_mode) if mode is None else mode
    node: dict[str, Any] = {"path": device.path, "type": kind, "major": major, "minor": minor}
    optional = {"fileMode": mode, "uid": device.uid, "gid": device.gid}
    return node | {key: value for key, value in optional.items() if value is not None}


def _rule(node: dict[str, Any], access: str) -> dict[str, Any]:
    return {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"], "access": access}


def _hook(hook: Hook) -> dict[str, Any]:
    made: dict[str, Any] = {"path": hook.path, "args": hook.args, "env": hook.env}
    return made if hook.timeout is None else {**made, "timeout": hook.timeout}
