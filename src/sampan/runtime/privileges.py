"""Capabilities and `--security-opt`."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from ..errors import InvalidArgument
from ..linux import capabilities as linux_capabilities
from ..model.container import HostConfig
from . import seccomp_default

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip


def available() -> list[str]:
    """What this process may give: a capability outside its own bounding set cannot be had by a child."""
    return linux_capabilities.names(linux_capabilities.bounding())


def capabilities(host: HostConfig) -> list[str]:
    """The bounding set of a container: Docker's 14, changed by --cap-add and --cap-drop."""
    everything = available()
    if host.privileged:
        return everything
    add, drop = normalize(host.cap_add, "CapAdd"), normalize(host.cap_drop, "CapDrop")
    if "ALL" in drop:
        base: list[str] = []
    else:
        base = everything if "ALL" in add else list(DEFAULT_CAPABILITIES)
    if "ALL" in add:
        base = everything
    kept = [name for name in base if name not in drop]
    return kept + [name for name in add if name != "ALL" and name not in kept]


def normalize(names: list[str] | None, field: str) -> list[str]:
    """`net_admin` → `CAP_NET_ADMIN`; ALL stays. Raises InvalidArgument for what no kernel knows."""
    found = []
    for name in names or ():
        upper = name.upper()
        if upper == "ALL":
            found.append("ALL")
            continue
        full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
        if full not in linux_capabilities.BITS:
            raise InvalidArgument(f'invalid {field}: unknown capability: "{full}"')
        found.append(full)
    return found


class SecurityOptions(Struct, frozen=True):
    """`--security-opt`, taken apart; `seccomp` is "" (the default), "unconfined" or the text of a profile."""

    no_new_privileges: bool = False
    apparmor: str = ""
    seccomp: str = ""
    labels: tuple[str, ...] = ()
    writable_cgroups: bool = False


def security_options(options: list[str] | None) -> SecurityOptions:
    """Raises InvalidArgument with Docker's text."""
    values: dict[str, Any] = {"labels": ()}
    for option in options or ():
        name, separator, value = option.partition("=")
        if not separator:
            name, separator, value = option.partition(":")  # the form of old clients
        if option == "no-new-privileges":
            values["no_new_privileges"] = True
        elif not separator:
            raise InvalidArgument(f'invalid --security-opt 1: "{option}"')
        else:
            _security_option(values, name, value, option)
    return SecurityOptions(**values)


def _security_option(values: dict[str, Any], name: str, value: str, option: str) -> None:
    if name in ("no-new-privileges", "writable-cgroups"):
        if value.lower() not in ("true", "false", "1", "0", "t", "f"):
            raise InvalidArgument(f'invalid --security-opt 2: "{option}"')
        values[name.replace("-", "_")] = value.lower() in ("true", "1", "t")
    elif name in ("apparmor", "seccomp"):
        values[name] = value
    elif name == "label":
        values["labels"] += (value,)
    else:
        raise InvalidArgument(f'invalid --security-opt 2: "{option}"')


def seccomp(host: HostConfig, given: dict[str, Any] | str, bounding: list[str]) -> dict[str, Any] | None:
    """OCI linux.seccomp; `given` is the daemon's profile where the container names none. None: unconfined."""
    named = security_options(host.security_opt).seccomp
    if host.privileged and not named:
        return None
    chosen: dict[str, Any] | str = _parsed(named) if named else given
    if chosen == "unconfined":
        return None
    if isinstance(chosen, dict):
        return seccomp_default.render(chosen, bounding)
    return seccomp_default.profile(bounding)


def _parsed(named: str) -> dict[str, Any] | str:
    if named in ("unconfined", "builtin"):
        return named
    try:
        profile: dict[str, Any] = json.loads(named)
    except ValueError as error:
        raise InvalidArgument(f"decoding seccomp profile failed: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise InvalidArgument("decoding seccomp profile failed: no defaultAction")
    return profile
