"""The texts of `run`'s flags, each to its value; ValueError in the words of Docker's client."""

from __future__ import annotations

import re

from ..model import quantity
from .key_values import split_csv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]


_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip
_ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
_DEVICE_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")
_DOMAIN = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*\.?")
_CDI = re.compile(r"[A-Za-z][\w.-]*/[A-Za-z][\w-]*=[A-Za-z0-9][\w.:-]*", re.ASCII)


def is_address(text: str) -> bool:
    from ipaddress import ip_address  # 6 ms, for those who give one

    try:
        ip_address(text.strip())
    except ValueError:
        return False
    return True


def stream(text: str) -> str:
    """`--attach`, in lower case."""
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def environment(text: str) -> str:
    if not text or text.startswith("="):
        raise ValueError(f"invalid environment variable: {text}")
    return text


def label(text: str) -> str:
    if not text or text.startswith("="):
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def link(text: str) -> str:
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def sysctl(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not equals or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


def server(text: str) -> str:
    """`--dns`"""
    if not is_address(text):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return text.strip()


def search_domain(text: str) -> str:
    """`--dns-search`; `.` is none."""
    found = text.strip()
    if found == ".":
        return found
    if not (_DOMAIN.fullmatch(found) and re.search("[a-zA-Z]", found) and len(found) < 255):
        raise ValueError(f"{text} is not a valid domain")
    return found


def extra_host(text: str) -> str:
    """`name:address` or `name=address`, an IPv6 address with or without brackets → `name:address`."""
    name, sign, address = text.partition("=")
    if not sign:
        name, sign, address = text.partition(":")
    if not sign or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if address != "host-gateway" and not is_address(address):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address}"


def device_rule(text: str) -> str:
    """`--device-cgroup-rule`"""
    if not _DEVICE_RULE.fullmatch(text):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def ulimit(text: str) -> Json:
    """`name=soft[:hard]`"""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    soft, hard = _whole(parts[0]), _whole(parts[-1])
    if hard != -1 and soft > hard:
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Soft": soft, "Hard": hard}


def _whole(text: str) -> int:
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _weight(text: str) -> int:
    weight = int(text)
    if weight != 0 and not 10 <= weight <= 1000:
        raise ValueError
    return weight


def _natural(text: str) -> int:
    if not text.isdigit():
        raise ValueError
    return int(text)


_RATE = "invalid rate for device: {text}. The correct format is <device-path>:<number>"
_POSITIVE = ". Number must be a positive integer"


def _throttle(field: str, parse: Callable[[str], int], wrong: str) -> Callable[[str], Json]:
    def read(text: str) -> Json:
        path, colon, value = text.partition(":")
        if not colon or not path:
            raise ValueError(f"bad format: {text}")
        if not path.startswith("/dev/"):
            raise ValueError(f"bad format for device path: {text}")
        try:
            return {"Path": path, field: parse(value)}
        except ValueError:
            raise ValueError(wrong.format(text=text)) from None

    return read


device_weight = _throttle("Weight", _weight, "invalid weight for device: {text}")
device_rate = _throttle(
    "Rate", quantity.parse_bytes, f"{_RATE}[<unit>]{_POSITIVE}. Unit is optional and can be kb, mb, or gb"
)
device_operations = _throttle("Rate", _natural, _RATE + _POSITIVE)


def gpu_request(text: str) -> Json:
    """`all`, a count, or `device=…,count=…,driver=…,capabilities=…,options=…`."""
    if not text:
        raise ValueError("EOF")
    request: Json = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    seen = set()
    for field in split_csv(text):
        key, equals, value = field.partition("=")
        seen.add(key if equals else "count")
        if not equals:
            request["Count"] = _gpus(key)
        elif key in _GPU_FIELDS:
            name, read = _GPU_FIELDS[key]
            request[name] = read(value)
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if "count" not in seen and request["DeviceIDs"] is None:
        request["Count"] = 1
    return request


def _gpus(text: str) -> int:
    if text == "all":
        return -1
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise ValueError(f'invalid count ({text}): value must be either "all" or an integer: invalid syntax')
    return int(text)


def _gpu_options(text: str) -> dict[str, str]:
    return dict(field.partition("=")[::2] for field in split_csv(text))


_GPU_FIELDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "driver": ("Driver", str),
    "count": ("Count", _gpus),
    "device": ("DeviceIDs", lambda text: text.split(",")),
    "capabilities": ("Capabilities", lambda text: [[*text.split(","), "gpu"]]),
    "options": ("Options", _gpu_options),
}


def is_cdi_name(text: str) -> bool:
    """`vendor.com/class=name` (CDI, SPEC.md «Kind»)."""
    return _CDI.fullmatch(text) is not None


def device(text: str) -> Json:
    """`host[:container][:permissions]`"""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {text}")
    permissions = "rwm"
    if len(parts) == 3:
        permissions = parts.pop()
        if not _is_mode(permissions):
            raise ValueError(f"bad mode specified: {permissions}")
    elif len(parts) == 2 and _is_mode(parts[1]):
        permissions = parts.pop()
    target = parts[-1]
    if not target.startswith("/"):
        raise ValueError(f"{target} is not an absolute path")
    return {"PathOnHost": parts[0], "PathInContainer": target, "CgroupPermissions": permissions}


def _is_mode(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def capabilities(add: list[str], drop: list[str]) -> tuple[list[str], list[str]]:
    """`--cap-add` and `--cap-drop` in full; what is both is added, and ALL stands for all others."""
    added, dropped = ({_capability(name) for name in names} for names in (add, drop))
    added, dropped = ({"ALL"} if "ALL" in names else names for names in (added, dropped))
    return sorted(added), sorted(dropped - added)


def _capability(text: str) -> str:
    name = text.strip().upper()
    return name if name in ("ALL", "RESET") or name.startswith("CAP_") else f"CAP_{name}"
