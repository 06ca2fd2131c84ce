"""From `run`'s flags to the body of `POST /containers/create`."""

from __future__ import annotations

import json
import re
import sys
from operator import itemgetter

from . import run_values as values
from .command import CommandFailed
from .flags import Options
from .key_values import environment, labels, pairs
from .run_mounts import parse_tmpfs, parse_volumes
from .run_networks import network_mode, networking
from .run_ports import parse_expose, parse_publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]

DIRECT_HOST: dict[str, str] = {
    "CgroupParent": "cgroup-parent",
    "CgroupnsMode": "cgroupns",
    "ContainerIDFile": "cidfile",
    "Dns": "dns",
    "DnsSearch": "dns-search",
    "ExtraHosts": "add-host",
    "GroupAdd": "group-add",
    "IpcMode": "ipc",
    "Isolation": "isolation",
    "Links": "link",
    "OomScoreAdj": "oom-score-adj",
    "PidMode": "pid",
    "Privileged": "privileged",
    "PublishAllPorts": "publish-all",
    "ReadonlyRootfs": "read-only",
    "Runtime": "runtime",
    "ShmSize": "shm-size",
    "UTSMode": "uts",
    "UsernsMode": "userns",
    "VolumeDriver": "volume-driver",
    "VolumesFrom": "volumes-from",
    "AutoRemove": "rm",
    "BlkioWeight": "blkio-weight",
    "CpuPeriod": "cpu-period",
    "CpuQuota": "cpu-quota",
    "CpuRealtimePeriod": "cpu-rt-period",
    "CpuRealtimeRuntime": "cpu-rt-runtime",
    "CpuShares": "cpu-shares",
    "CpusetCpus": "cpuset-cpus",
    "CpusetMems": "cpuset-mems",
    "DeviceCgroupRules": "device-cgroup-rule",
    "Memory": "memory",
    "MemoryReservation": "memory-reservation",
    "MemorySwap": "memory-swap",
    "NanoCpus": "cpus",
    "PidsLimit": "pids-limit",
    "OomKillDisable": "oom-kill-disable",
    "DnsOptions": "dns-option",
    "BlkioDeviceReadBps": "device-read-bps",
    "BlkioDeviceWriteBps": "device-write-bps",
    "BlkioDeviceReadIOps": "device-read-iops",
    "BlkioDeviceWriteIOps": "device-write-iops",
    "BlkioWeightDevice": "blkio-weight-device",
}
"""HostConfig fields that are a flag's value as it is."""
DIRECT_CONFIG: dict[str, str] = {
    "Hostname": "hostname",
    "Domainname": "domainname",
    "User": "user",
    "Tty": "tty",
    "OpenStdin": "interactive",
    "WorkingDir": "workdir",
    "StopSignal": "stop-signal",
}
_MODES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "pid": ("PID", lambda mode: mode == "host" or (mode.partition(":")[0] == "container" and mode != "container:")),
    "uts": ("UTS", lambda mode: mode == "host"),
    "userns": ("USER", lambda mode: mode == "host"),
    "cgroupns": ("CGROUP", lambda mode: mode in ("host", "private")),
}
HEALTH = {
    "Interval": "health-interval",
    "Timeout": "health-timeout",
    "StartPeriod": "health-start-period",
    "StartInterval": "health-start-interval",
    "Retries": "health-retries",
}
STREAMS = ("stdin", "stdout", "stderr")
SYSTEM_PATHS = "systempaths=unconfined"
_MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")


def _invalid(message: str) -> CommandFailed:
    return CommandFailed(message, 125)


def create_body(options: Options, arguments: list[str], detach: bool) -> Json:
    """The whole request; `arguments` are the image, then the command."""
    check(options)
    config = container_config(options, arguments)
    attach_streams(config, options, detach)
    config["HostConfig"] = host_config(options)
    exposed, bindings = parse_publish(options["publish"])
    exposed.update(parse_expose(options["expose"]))
    config["ExposedPorts"] = exposed
    config["HostConfig"]["PortBindings"] = bindings
    binds, config["Volumes"] = parse_volumes(options["volume"])
    config["HostConfig"]["Binds"] = binds or None
    config["HostConfig"]["NetworkMode"] = network_mode(options)
    config["NetworkingConfig"] = {"EndpointsConfig": networking(options)}
    return config


def container_config(options: Options, arguments: list[str]) -> Json:
    config: Json = {field: options[flag] for field, flag in DIRECT_CONFIG.items() if options[flag]}
    config["Image"] = arguments[0]
    config["Cmd"] = arguments[1:] or None
    config["Env"] = environment(options["env-file"], options["env"])
    config["Labels"] = labels(options["label-file"], options["label"])
    if "entrypoint" in options.changed:
        # An empty text resets the image's entry point, which the API writes as [""].
        config["Entrypoint"] = [options["entrypoint"]]
    if "stop-timeout" in options.changed:
        config["StopTimeout"] = options["stop-timeout"]
    health = healthcheck(options)
    if health is not None:
        config["Healthcheck"] = health
    return config


def healthcheck(options: Options) -> Json | None:
    given = {field: options[flag] for field, flag in HEALTH.items() if flag in options.changed}
    if options["no-healthcheck"]:
        if given or options["health-cmd"]:
            raise _invalid("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for field, value in given.items():
        if value < 0:
            raise _invalid(f"--{HEALTH[field]} cannot be negative")
    if options["health-cmd"]:
        given["Test"] = ["CMD-SHELL", options["health-cmd"]]
    return given or None


def attach_streams(config: Json, options: Options, detach: bool) -> None:
    """Which streams the container has attached: `-a`, else all but stdin, which needs `-i`."""
    wanted = list(options["attach"])
    if detach:
        wanted = []
    elif not wanted:
        wanted = ["stdout", "stderr"] + (["stdin"] if options["interactive"] else [])
    for name in STREAMS:
        config[f"Attach{name.capitalize()}"] = name in wanted
    if options["interactive"] and "stdin" in wanted:
        config["StdinOnce"] = True


def host_config(options: Options) -> Json:
    host: Json = {field: options[flag] for field, flag in DIRECT_HOST.items() if flag in options.changed}
    host["RestartPolicy"] = restart_policy(options["restart"])
    host["LogConfig"] = {"Type": options["log-driver"], "Config": pairs(options["log-opt"])}
    host["CapAdd"], host["CapDrop"] = values.capabilities(options["cap-add"], options["cap-drop"])
    host["SecurityOpt"] = [security_option(text) for text in options["security-opt"] if text != SYSTEM_PATHS]
    if SYSTEM_PATHS in options["security-opt"]:
        host["MaskedPaths"], host["ReadonlyPaths"] = [], []
    host["Mounts"] = options["mount"] or None
    host["Tmpfs"] = parse_tmpfs(options["tmpfs"]) or None
    host["Sysctls"] = pairs(options["sysctl"]) or None
    host["Annotations"] = _annotations(options) or None
    host["StorageOpt"] = pairs(options["storage-opt"]) or None
    host["Devices"] = [device(text) for text in options["device"] if not values.is_cdi_name(text)]
    host["DeviceRequests"] = device_requests(options)
    host["Ulimits"] = sorted({limit["Name"]: limit for limit in options["ulimit"]}.values(), key=itemgetter("Name"))
    host["MemorySwappiness"] = options["memory-swappiness"]
    host["ConsoleSize"] = list(console_size())
    if "init" in options.changed:
        host["Init"] = options["init"]
    if options["rm"] and options["restart"] not in ("no", ""):
        raise _invalid("conflicting options: cannot specify both --restart and --rm")
    return host


def _annotations(options: Options) -> dict[str, str]:
    found = pairs(options["annotation"])
    if options["secret"]:
        from .secrets import annotation

        found.update(annotation(options["secret"]))
    return found


def console_size() -> tuple[int, int]:
    """Rows and columns of our terminal, or zeros."""
    import os

    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 0, 0
    return size.lines, size.columns


def restart_policy(text: str) -> Json:
    name, colon, count = text.partition(":")
    if not name and colon:
        raise _invalid("invalid restart policy format: no policy provided before colon")
    if count and not count.lstrip("-").isdigit():
        raise _invalid("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def security_option(text: str) -> str:
    """A seccomp profile is sent as its content."""
    key, separator, value = text.partition("=")
    if not separator:
        key, separator, value = text.partition(":")
    if not separator and text not in ("no-new-privileges",):
        raise _invalid(f'Invalid --security-opt: "{text}"')
    if key != "seccomp" or value in ("unconfined", "builtin"):
        return text
    try:
        with open(value, encoding="utf-8") as file:
            profile = file.read()
    except OSError as error:
        reason = f"open {value}: {(error.strerror or '').lower()}"
        raise _invalid(f"opening seccomp profile ({value}) failed: {reason}") from error
    return "seccomp=" + json.dumps(_decoded(profile, value), separators=(",", ":"))


def _decoded(profile: str, path: str) -> Any:
    try:
        return json.loads(profile)
    except json.JSONDecodeError as error:
        rest = profile[error.pos :]
        reason = (
            f"invalid character '{rest[0]}' looking for beginning of value" if rest else "unexpected end of JSON input"
        )
        raise _invalid(f"compacting json for seccomp profile ({path}) failed: {reason}") from error


def device(text: str) -> Json:
    """`host[:container][:permissions]`"""
    try:
        return values.device(text)
    except ValueError as error:
        raise _invalid(str(error)) from None


def device_requests(options: Options) -> list[Json] | None:
    """CDI names and `--gpus`."""
    cdi = [text for text in options["device"] if values.is_cdi_name(text)]
    return [*([{"Driver": "cdi", "DeviceIDs": cdi}] if cdi else []), *options["gpus"]] or None


def check(options: Options) -> None:
    """What is wrong with flags by themselves; CommandFailed in the words of Docker's client."""
    for flag, (shown, valid) in _MODES.items():
        if options[flag] and not valid(options[flag]):
            raise _invalid(f"--{flag}: invalid {shown} mode")
    swappiness = options["memory-swappiness"]
    if not -1 <= swappiness <= 100:
        raise _invalid(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    if options["mac-address"] and not _MAC.fullmatch(options["mac-address"].strip()):
        raise _invalid(f"{options['mac-address']} is not a valid mac address")
    if options["log-driver"] == "none" and options["log-opt"]:
        raise _invalid("invalid logging opts for driver none")
    if not options["disable-content-trust"]:
        raise _invalid("content trust is not supported: there is no notary server that could be asked")
    if any("=" not in text for text in options["storage-opt"]):
        raise _invalid("invalid storage option")
