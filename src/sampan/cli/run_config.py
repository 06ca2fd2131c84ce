"""From `run`'s flags to the body of `POST /containers/create`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from . import quantity
from .command import CommandFailed
from .flags import FlagError, Options
from .key_values import environment, labels, pairs
from .run_mounts import parse_mount, parse_tmpfs, parse_volumes
from .run_networks import network_mode, networking
from .run_ports import parse_expose, parse_publish

Json = dict[str, Any]
DIRECT_HOST: dict[str, str] = {
    "CapAdd": "cap-add",
    "CapDrop": "cap-drop",
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
THROTTLES: dict[str, tuple[str, Callable[[str], int], str]] = {
    "BlkioDeviceReadBps": ("device-read-bps", quantity.parse_bytes, "Rate"),
    "BlkioDeviceWriteBps": ("device-write-bps", quantity.parse_bytes, "Rate"),
    "BlkioDeviceReadIOps": ("device-read-iops", int, "Rate"),
    "BlkioDeviceWriteIOps": ("device-write-iops", int, "Rate"),
    "BlkioWeightDevice": ("blkio-weight-device", int, "Weight"),
}
HEALTH = {
    "Interval": "health-interval",
    "Timeout": "health-timeout",
    "StartPeriod": "health-start-period",
    "StartInterval": "health-start-interval",
    "Retries": "health-retries",
}
STREAMS = ("stdin", "stdout", "stderr")


def _invalid(message: str) -> CommandFailed:
    return CommandFailed(message, 125)


def create_body(options: Options, arguments: list[str], detach: bool) -> Json:
    """The whole request; `arguments` are the image, then the command."""
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
    if options["mac-address"]:
        config["MacAddress"] = options["mac-address"]
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
    wanted = [name.lower() for name in options["attach"]]
    unknown = [name for name in wanted if name not in STREAMS]
    if unknown:
        raise FlagError(
            f'invalid argument "{unknown[0]}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'
        )
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
    host["DnsOptions"] = [*options["dns-opt"], *options["dns-option"]]
    host["SecurityOpt"] = [security_option(text) for text in options["security-opt"]]
    host["Mounts"] = [parse_mount(text) for text in options["mount"]] or None
    host["Tmpfs"] = parse_tmpfs(options["tmpfs"]) or None
    host["Sysctls"] = pairs(options["sysctl"]) or None
    host["Annotations"] = _annotations(options) or None
    host["StorageOpt"] = pairs(options["storage-opt"]) or None
    host["Devices"] = [device(text) for text in options["device"] if "/" in text.partition(":")[0]]
    host["DeviceRequests"] = device_requests(options)
    host["Ulimits"] = [ulimit(text) for text in options["ulimit"]]
    host["MemorySwappiness"] = options["memory-swappiness"]
    host["ConsoleSize"] = list(console_size())
    if "init" in options.changed:
        host["Init"] = options["init"]
    for field, (flag, parse, name) in THROTTLES.items():
        host[field] = [throttle(text, flag, parse, name) for text in options[flag]]
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
        raise _invalid(f"invalid --security-opt: {text!r}".replace("'", '"'))
    if key != "seccomp" or value in ("unconfined", "builtin"):
        return text
    try:
        with open(value, encoding="utf-8") as file:
            profile = json.load(file)
    except (OSError, ValueError) as error:
        raise _invalid(f"opening seccomp profile ({value}) failed: {error}") from error
    return "seccomp=" + json.dumps(profile, separators=(",", ":"))


def device(text: str) -> Json:
    """`host[:container][:permissions]`"""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise _invalid(f"invalid device specification: {text}")
    permissions = "rwm"
    if len(parts) > 1 and parts[-1] and set(parts[-1]) <= set("rwm"):
        permissions = parts.pop()
    elif len(parts) == 3:
        raise _invalid(f"invalid device specification: {text}")
    target = parts[1] if len(parts) > 1 else parts[0]
    return {"PathOnHost": parts[0], "PathInContainer": target, "CgroupPermissions": permissions}


def device_requests(options: Options) -> list[Json] | None:
    """CDI names (`vendor/class=name` without a leading slash) and `--gpus`."""
    cdi = [text for text in options["device"] if not text.startswith("/") and "=" in text]
    requests: list[Json] = [{"Driver": "cdi", "DeviceIDs": cdi}] if cdi else []
    return requests + [gpu_request(text) for text in options["gpus"]] or None


def gpu_request(text: str) -> Json:
    request: Json = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    if text == "all" or text.lstrip("-").isdigit():
        request["Count"] = -1 if text == "all" else int(text)
        return request
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key == "device":
            request["DeviceIDs"] = value.strip('"').split(",")
        elif key == "count":
            request["Count"] = -1 if value == "all" else int(value)
        elif key == "driver":
            request["Driver"] = value
        else:
            raise _invalid(f"unexpected key '{key}' in '{part}'")
    return request


def ulimit(text: str) -> Json:
    """`name=soft[:hard]`"""
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        low, high = int(soft), int(hard or soft)
    except ValueError:
        raise FlagError(f'invalid argument "{text}" for "--ulimit" flag: invalid ulimit argument: {text}') from None
    if high != -1 and low > high:
        raise FlagError(
            f'invalid argument "{text}" for "--ulimit" flag: ulimit soft limit must be less than or equal to hard limit'
        )
    return {"Name": name, "Soft": low, "Hard": high}


def throttle(text: str, flag: str, parse: Callable[[str], int], name: str) -> Json:
    path, colon, value = text.rpartition(":")
    try:
        if not colon or not path.startswith("/dev/"):
            raise ValueError
        return {"Path": path, name: parse(value)}
    except ValueError:
        raise FlagError(f'invalid argument "{text}" for "--{flag}" flag: bad format: {text}') from None
