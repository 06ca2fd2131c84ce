"""`/_ping`, `/version`, `/info`, `/events`."""

from __future__ import annotations

import asyncio
import platform
from typing import Any

from msgspec import UNSET

from .. import __version__
from ..engine import events, info, system
from ..engine.events import Event
from ..model.times import now
from ..wire import system as wire
from . import versions
from .call import ENGINE_VERSION, Call, encode, headers
from .router import Route

BUILD_TIME = "2026-11-29T00:00:00.000000000+00:00"
INDEX = "https://index.docker.io/v1/"


async def ping(call: Call) -> None:
    """Also where clients learn the API version: each header is read by some of them."""
    extra = {
        "Builder-Version": "2",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
        "Swarm": "inactive",
        "Content-Type": "text/plain; charset=utf-8",
    }
    fields = {**headers(), **extra}
    await call.exchange.respond(200, fields, b"" if call.exchange.head.method == "HEAD" else b"OK")


async def version(call: Call) -> None:
    details = {
        "ApiVersion": versions.text(versions.CURRENT),
        "Arch": info.architecture(),
        "BuildTime": BUILD_TIME,
        "Experimental": str(call.engine.config.experimental).lower(),
        "GitCommit": __version__,
        "GoVersion": f"python{platform.python_version()}",
        "KernelVersion": info.kernel(),
        "MinAPIVersion": versions.text(call.engine.config.min_api_version),
        "Os": "linux",
    }
    components = [
        wire.Component(name="Engine", version=ENGINE_VERSION, details=details),
        wire.Component(name="sampan", version=__version__, details={"GitCommit": ""}),
    ]
    await call.json(
        wire.Version(
            platform=wire.Platform(name=f"Sampan {__version__}"),
            components=components,
            version=ENGINE_VERSION,
            api_version=details["ApiVersion"],
            min_api_version=details["MinAPIVersion"],
            git_commit=details["GitCommit"],
            go_version=details["GoVersion"],
            os="linux",
            arch=details["Arch"],
            kernel_version=details["KernelVersion"],
            build_time=BUILD_TIME,
        )
    )


async def show_info(call: Call) -> None:
    await call.json(_info(call))


def _info(call: Call) -> wire.Info:
    engine, config = call.engine, call.engine.config
    counts, kernel = system.count(engine), engine.kernel
    old = call.version < (1, 50)
    return wire.Info(
        id=system.engine_id(engine),
        containers=counts.total,
        containers_running=counts.running,
        containers_paused=counts.paused,
        containers_stopped=counts.stopped,
        images=len(engine.images.all()),
        driver=engine.snapshots.name,
        driver_status=system.driver_status(engine),
        plugins=_plugins(call),
        memory_limit=kernel.memory,
        swap_limit=kernel.swap_limit,
        kernel_memory=kernel.kernel_memory_tcp if call.version < (1, 42) else UNSET,
        kernel_memory_tcp=kernel.kernel_memory_tcp or UNSET,
        cpu_cfs_period=kernel.cpu_quota,
        cpu_cfs_quota=kernel.cpu_quota,
        cpu_shares=kernel.cpu_shares,
        cpu_set=kernel.cpuset,
        pids_limit=kernel.pids,
        ipv4_forwarding=info.ipv4_forwarding(),
        bridge_nf_iptables=False if old else UNSET,
        bridge_nf_ip6tables=False if old else UNSET,
        debug=config.debug,
        n_fd=info.open_files(),
        oom_kill_disable=kernel.oom_kill_disable,
        n_goroutines=len(asyncio.all_tasks()),
        system_time=now(),
        logging_driver=config.container.log_driver,
        cgroup_driver=config.cgroup_driver,
        cgroup_version=str(kernel.version),
        n_events_listener=engine.events.listeners,
        kernel_version=info.kernel(),
        operating_system=info.operating_system(),
        os_version=info.os_release().get("VERSION_ID", ""),
        os_type="linux",
        architecture=info.machine(),
        index_server_address=INDEX,
        registry_config=_registries(call),
        ncpu=info.processors(),
        mem_total=info.memory(),
        docker_root_dir=config.data_root,
        http_proxy=config.container.proxies.get("http-proxy", ""),
        https_proxy=config.container.proxies.get("https-proxy", ""),
        no_proxy=config.container.proxies.get("no-proxy", ""),
        name=system.host_name(engine),
        labels=list(config.labels),
        experimental_build=config.experimental,
        server_version=ENGINE_VERSION,
        runtimes=_runtimes(call),
        default_runtime=config.container.runtime,
        swarm=wire.SwarmInfo(),
        live_restore_enabled=True,
        init_binary="sampan-init",
        containerd_commit=wire.Commit(),
        runc_commit=wire.Commit(id=__version__, expected=__version__ if call.version < (1, 49) else UNSET),
        init_commit=wire.Commit(id=__version__),
        security_options=_security(call),
        default_address_pools=_pools(call),
        firewall_backend={"Driver": "nftables"} if call.version >= (1, 49) else UNSET,
        cdi_spec_dirs=list(config.cdi_directories),
        warnings=_warnings(call),
    )


def _plugins(call: Call) -> wire.Plugins:
    volume = ["local", *call.engine.volumes.plugins.names()]
    return wire.Plugins(
        volume=volume, network=list(system.NETWORK_DRIVERS), authorization=None, log=list(system.LOG_DRIVERS)
    )


def _registries(call: Call) -> wire.RegistryConfig:
    settings = call.engine.config.registry
    mirrors = list(settings.mirrors)
    indexes = {"docker.io": wire.IndexInfo(mirrors=mirrors, name="docker.io", official=True, secure=True)}
    networks = [name for name in settings.insecure if "/" in name]
    for name in settings.insecure:
        if "/" not in name:
            indexes[name] = wire.IndexInfo(mirrors=[], name=name, official=False, secure=False)
    old = None if call.version < (1, 47) else UNSET
    return wire.RegistryConfig(
        allow_nondistributable_artifacts_cidrs=old,
        allow_nondistributable_artifacts_hostnames=old,
        index_configs=indexes,
        insecure_registry_cidrs=[*networks, "::1/128", "127.0.0.0/8"],
        mirrors=mirrors,
    )


def _runtimes(call: Call) -> dict[str, dict[str, Any]]:
    named = call.engine.config.runtimes
    own = {call.engine.config.container.runtime: {"path": "sampan-runc"}, "sampan": {"path": "sampan-runc"}}
    return {**own, **{name: {"path": held.path} for name, held in named.items()}}


def _security(call: Call) -> list[str]:
    settings = call.engine.config.container
    options = [f"name=seccomp,profile={settings.seccomp_profile or 'builtin'}"]
    if call.engine.kernel.version == 2:
        options.append("name=cgroupns")
    if call.engine.config.id_map is not None:
        options.append("name=userns")
    return [*options, "name=no-new-privileges"] if settings.no_new_privileges else options


def _pools(call: Call) -> Any:
    pools = call.engine.config.network.address_pools
    return [wire.AddressPool(base=pool.base, size=pool.size) for pool in pools] or UNSET


_LIMITS = (
    ("memory", "memory limit", "memory limit"), ("swap_limit", "swap limit", "swap limit"),
    ("oom_kill_disable", "oom kill disable", ""), ("cpu_quota", "cpu cfs quota", "cpu cfs quota"),
    ("cpu_quota", "cpu cfs period", "cpu cfs period"), ("cpu_shares", "cpu shares", "cpu shares"),
    ("cpuset", "cpuset", "cpuset"), ("blkio_weight", "", "io.weight"),
    ("blkio_weight_device", "", "io.weight (per device)"),
    ("read_bps", "blkio throttle.read_bps_device", "io.max (rbps)"),
    ("write_bps", "blkio throttle.write_bps_device", "io.max (wbps)"),
    ("read_iops", "blkio throttle.read_iops_device", "io.max (riops)"),
    ("write_iops", "blkio throttle.write_iops_device", "io.max (wiops)"),
)  # fmt: skip
"""What `info` warns of: (a limit, its name on v1, its name on v2), empty where its lack is usual."""


def _warnings(call: Call) -> list[str] | None:
    kernel = call.engine.kernel
    lacking = [names[kernel.version - 1] for what, *names in _LIMITS if not getattr(kernel, what)]
    found = [f"WARNING: No {name} support" for name in lacking if name]
    if not info.ipv4_forwarding():
        found.append("WARNING: IPv4 forwarding is disabled")
    return [*found, *call.engine.warnings] or None


async def follow_events(call: Call) -> None:
    # A filter that does not exist is no error here: Docker passes it over.
    filters = {name: values for name, values in call.query.filters().items() if name in events.FILTERS}
    since, until = call.query.time_ns("since"), call.query.time_ns("until")
    feed = events.follow(call.engine.events, since, until, filters)
    exchange = await call.stream("application/json")
    async for some in feed:
        await exchange.write(b"".join(encode(event_document(event)) + b"\n" for event in some))


def event_document(event: Event) -> wire.Event:
    """An event as the API shows it."""
    old = event.type in ("container", "image")
    return wire.Event(
        type=event.type,
        action=event.action,
        actor={"ID": event.actor, "Attributes": event.attributes},
        scope=event.scope,
        time=event.time_ns // 1_000_000_000,
        time_nano=event.time_ns,
        status=event.action if old else UNSET,
        id=event.actor if old else UNSET,
        from_=event.attributes.get("image", UNSET) if event.type == "container" else UNSET,
    )


ROUTES: list[Route] = [
    ("GET", "/_ping", ping),
    ("HEAD", "/_ping", ping),
    ("GET", "/version", version),
    ("GET", "/info", show_info),
    ("GET", "/events", follow_events),
]
