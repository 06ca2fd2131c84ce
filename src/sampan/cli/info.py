"""`info`, in docker's layout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sampan.errors import SampanError

from ..model.quantity import bytes_size
from .command import CommandFailed, command
from .flags import Options, string
from .main import describe
from .template_values import TemplateError
from .usage import INSPECT_FORMAT_USAGE
from .version import client_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .session import Session

Info = dict[str, Any]


def yes(value: object) -> str:
    return "true" if value else "false"


@command("[OPTIONS]", "Display system-wide information", string("format", INSPECT_FORMAT_USAGE, short="f"))
def info(session: Session, options: Options, arguments: list[str]) -> int:
    client = client_version(session)
    failure = ""
    found: Info = {}
    try:
        found = session.client.info()
    except SampanError as error:
        failure = describe(error)
    if options["format"]:
        return _formatted(
            options["format"], {**found, "ClientInfo": {"Debug": session.options.debug, **client}}, failure
        )
    sys.stdout.write(_client_part(session, client))
    sys.stdout.write("\nServer:\n")
    if failure:
        raise CommandFailed(f"{failure}\nerrors pretty printing info")
    sys.stdout.write("".join(f"{line}\n" for line in server_lines(found)) + "\n")
    for warning in found.get("Warnings") or ():
        session.warn(warning)
    return 0


def _formatted(source: str, data: Info, failure: str) -> int:
    from . import formats

    try:
        text = formats.of_value(source).render(data)
    except TemplateError as error:
        raise CommandFailed(failure or str(error)) from None
    sys.stdout.write(text + "\n")
    return 0


def _client_part(session: Session, client: Info) -> str:
    return (
        f"Client:\n Version:    {client['Version']}\n Context:    {client['Context']}\n"
        f" Debug Mode: {yes(session.options.debug)}\n"
    )


def server_lines(found: Info) -> Iterator[str]:
    yield from _counts(found)
    yield from _storage(found)
    yield from _plugins(found)
    yield from _swarm(found)
    yield from _runtimes(found)
    yield from _security(found)
    yield from _host(found)
    yield from _debug(found)
    yield from _registries(found)
    yield f" Live Restore Enabled: {yes(found.get('LiveRestoreEnabled'))}"
    for key, title in (("ProductLicense", "Product License"),):
        if found.get(key):
            yield f" {title}: {found[key]}"
    if found.get("DefaultAddressPools"):
        yield " Default Address Pools:"
        yield from (f"   Base: {pool['Base']}, Size: {pool['Size']}" for pool in found["DefaultAddressPools"])


def _counts(found: Info) -> Iterator[str]:
    yield f" Containers: {found.get('Containers', 0)}"
    for state in ("Running", "Paused", "Stopped"):
        yield f"  {state}: {found.get(f'Containers{state}', 0)}"
    yield f" Images: {found.get('Images', 0)}"
    yield from _line(found, "ServerVersion", "Server Version")


def _line(found: Info, key: str, title: str) -> Iterator[str]:
    if found.get(key):
        yield f" {title}: {found[key]}"


def _storage(found: Info) -> Iterator[str]:
    yield f" Storage Driver: {found.get('Driver', '')}"
    for name, value in found.get("DriverStatus") or ():
        yield f"  {name}: {value}"
    for name, value in found.get("SystemStatus") or ():
        yield f" {name}: {value}"
    yield from _line(found, "LoggingDriver", "Logging Driver")
    yield from _line(found, "CgroupDriver", "Cgroup Driver")
    yield from _line(found, "CgroupVersion", "Cgroup Version")


def _plugins(found: Info) -> Iterator[str]:
    yield " Plugins:"
    plugins = found.get("Plugins") or {}
    for kind in ("Volume", "Network", "Authorization", "Log"):
        names = plugins.get(kind)
        if names or kind in ("Volume", "Network", "Log"):
            yield f"  {kind}: {' '.join(names or ())}"
    if found.get("CDISpecDirs"):
        yield " CDI spec directories:"
        yield from (f"  {directory}" for directory in found["CDISpecDirs"])


def _swarm(found: Info) -> Iterator[str]:
    yield f" Swarm: {(found.get('Swarm') or {}).get('LocalNodeState', 'inactive')}"


def _runtimes(found: Info) -> Iterator[str]:
    runtimes = found.get("Runtimes") or {}
    if runtimes:
        yield f" Runtimes: {' '.join(sorted(runtimes))}"
        yield f" Default Runtime: {found.get('DefaultRuntime', '')}"
    if found.get("OSType", "linux") == "linux":
        yield f" Init Binary: {found.get('InitBinary', '')}"
        for key, title in (("ContainerdCommit", "containerd"), ("RuncCommit", "runc"), ("InitCommit", "init")):
            yield f" {title} version: {(found.get(key) or {}).get('ID', '')}"


def _security(found: Info) -> Iterator[str]:
    options = found.get("SecurityOptions") or ()
    if options:
        yield " Security Options:"
    for text in options:
        pairs = [pair.partition("=")[::2] for pair in text.split(",")]
        yield f"  {pairs[0][1]}"
        yield from (f"   {key[:1].upper()}{key[1:]}: {value}" for key, value in pairs[1:])


HOST = (
    ("KernelVersion", "Kernel Version"),
    ("OperatingSystem", "Operating System"),
    ("OSVersion", "OSVersion"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
)


def _host(found: Info) -> Iterator[str]:
    for key, title in HOST:
        yield from _line(found, key, title)
    yield f" CPUs: {found.get('NCPU', 0)}"
    yield f" Total Memory: {bytes_size(found.get('MemTotal', 0))}"
    for key, title in (("Name", "Name"), ("ID", "ID"), ("DockerRootDir", "Docker Root Dir")):
        yield f" {title}: {found.get(key, '')}"


def _debug(found: Info) -> Iterator[str]:
    yield f" Debug Mode: {yes(found.get('Debug'))}"
    if found.get("Debug"):
        yield f"  File Descriptors: {found.get('NFd', 0)}"
        yield f"  Goroutines: {found.get('NGoroutines', 0)}"
        yield f"  System Time: {found.get('SystemTime', '')}"
        yield f"  EventsListeners: {found.get('NEventsListener', 0)}"
    for key, title in (("HttpProxy", "HTTP Proxy"), ("HttpsProxy", "HTTPS Proxy"), ("NoProxy", "No Proxy")):
        yield from _line(found, key, title)
    if found.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in found["Labels"])
    yield f" Experimental: {yes(found.get('ExperimentalBuild'))}"


def _registries(found: Info) -> Iterator[str]:
    config = found.get("RegistryConfig") or {}
    indexes = [name for name, index in (config.get("IndexConfigs") or {}).items() if not index.get("Secure")]
    networks = config.get("InsecureRegistryCIDRs") or []
    if indexes or networks:
        yield " Insecure Registries:"
        yield from (f"  {name}" for name in (*indexes, *networks))
    if config.get("Mirrors"):
        yield " Registry Mirrors:"
        yield from (f"  {mirror}" for mirror in config["Mirrors"])
