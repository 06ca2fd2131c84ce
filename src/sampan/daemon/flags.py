"""dockerd's command line: the table of flags, and their parsing as Go's pflag does it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct, field

from ..engine.config import SAMPAN_RUNTIME
from ..errors import InvalidArgument, SampanError
from ..model.quantity import parse_bool, parse_int, parse_size
from .checks import mirror_complaints


class UsageError(SampanError):
    """The command line is wrong (exit status 125)."""


class HelpWanted(SampanError):
    """`--help` was given."""


class Flag(Struct, frozen=True):
    """One flag and the `daemon.json` key that it sets. `keep` collects repeated values: list, map, nested map."""

    name: str
    key: str
    kind: str
    about: str
    short: str = ""
    keep: str = ""
    parse: Callable[[str], Any] = str

    @property
    def title(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class CommandLine(Struct):
    """What was given: values by key of daemon.json, and the flags that belong to the command line alone."""

    values: dict[str, Any] = field(default_factory=dict)
    config_file: str | None = None
    validate: bool = False
    version: bool = False


def _boolean(text: str) -> bool:
    try:
        return parse_bool(text)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise InvalidArgument(f'failed to parse IP: "{text}"') from None


def _dns(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise InvalidArgument(f"invalid string being converted to IP address: {text}") from None


def _host(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in ("unix", "tcp", "fd"):
        raise InvalidArgument(f"invalid bind address ({text}): unsupported proto '{scheme}'")
    return text if separator else f"tcp://{text}"


def _mirror(text: str) -> str:
    for complaint in mirror_complaints(text):
        raise InvalidArgument(complaint)
    return text.rstrip("/") + "/"


def _pair(text: str) -> dict[str, Any]:
    key, _, value = text.partition("=")
    return {key: value}


def _feature(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    return {key: _boolean(value) if equals else True}


def _runtime(text: str) -> dict[str, Any]:
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise InvalidArgument(f"invalid runtime argument: {text}")
    if name == SAMPAN_RUNTIME:
        raise InvalidArgument(f"runtime name '{name}' is reserved")
    return {name: {"path": path}}


def _ulimit(text: str) -> dict[str, Any]:
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return {name: {"Name": name, "Soft": parse_int(soft), "Hard": parse_int(hard or soft)}}
    except ValueError:
        raise InvalidArgument(f"invalid ulimit argument: {text}") from None


def _pool(text: str) -> dict[str, Any]:
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    try:
        ipaddress.ip_network(parts.get("base", ""))
        if "/" not in parts["base"]:
            raise ValueError("no '/'")
        return {"base": parts["base"], "size": int(parts.get("size", ""))}
    except (ValueError, KeyError) as error:
        base = parts.get("base", "")
        raise InvalidArgument(f'invalid base prefix "{base}": netip.ParsePrefix("{base}"): {error}') from None


def _network_option(text: str) -> dict[str, Any]:
    network, equals, rest = text.partition("=")
    option, second, value = rest.partition("=")
    if not equals or not second:
        raise InvalidArgument(f"invalid value {text!r}: must be network=option=value")
    return {network: {option: value}}


_KINDS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    # how it is shown: (how repeated values are kept, how one is read)
    "bool": ("", _boolean),
    "int": ("", _integer),
    "string": ("", str),
    "bytes": ("", parse_size),
    "ip": ("", _address),
    "list": ("list", str),
    "host": ("list", _host),
    "mirror": ("list", _mirror),
    "ipSlice": ("list", _dns),
    "map": ("map", _pair),
    "feature": ("map", _feature),
    "runtime": ("map", _runtime),
    "ulimit": ("map", _ulimit),
    "pool-options": ("list", _pool),
    "mapmap": ("map", _network_option),
}

_TABLE: Final = """
add-runtime|runtimes|runtime|Register an additional OCI compatible runtime
allow-direct-routing||bool|Allow remote access to published ports on container IP addresses
authorization-plugin|authorization-plugins|list|Authorization plugins to load
bip||string|IPv4 address for the default bridge
bip6||string|IPv6 address for the default bridge
bridge,b||string|Attach containers to a network bridge
cdi-spec-dir|cdi-spec-dirs|list|CDI specification directories to use
cgroup-parent||string|Set parent cgroup for all containers
config-file|-|string|Daemon configuration file
containerd||string|Accepted for Docker's sake: there is no containerd
containerd-namespace||string|Accepted for Docker's sake
containerd-plugins-namespace|containerd-plugin-namespace|string|Accepted for Docker's sake
cpu-rt-period||int|Limit the CPU real-time period in microseconds for the parent cgroup for all containers
cpu-rt-runtime||int|Limit the CPU real-time runtime in microseconds for the parent cgroup for all containers
cri-containerd||bool|Accepted for Docker's sake
data-root||string|Root directory of persistent state
debug,D||bool|Enable debug mode
default-address-pool|default-address-pools|pool-options|Default address pools for node specific local networks
default-cgroupns-mode||string|Default mode for containers cgroup namespace ("host" | "private")
default-gateway||ip|Default gateway IPv4 address for the default bridge network
default-gateway-v6||ip|Default gateway IPv6 address for the default bridge network
default-ipc-mode||string|Default mode for containers ipc ("shareable" | "private")
default-network-opt|default-network-opts|mapmap|Default network options
default-registry||string|Registry of image names that have none
default-runtime||string|Default OCI runtime for containers
default-shm-size||bytes|Default shm size for containers
default-ulimit|default-ulimits|ulimit|Default ulimits for containers
dns||ipSlice|DNS server to use
dns-opt|dns-opts|list|DNS options to use
dns-search||list|DNS search domains to use
exec-opt|exec-opts|list|Runtime execution options
exec-root||string|Root directory for execution state files
experimental||bool|Enable experimental features
feature|features|feature|Enable feature in the daemon
firewall-backend||string|Accepted for Docker's sake: rules are written through nftables
fixed-cidr||string|IPv4 subnet for the default bridge network
fixed-cidr-v6||string|IPv6 subnet for the default bridge network
group,G||string|Group for the unix socket
host,H|hosts|host|Daemon socket(s) to connect to
host-gateway-ip|host-gateway-ips|ipSlice|IP addresses that 'host-gateway' in --add-host resolves to
http-proxy|proxies.http-proxy|string|HTTP proxy URL to use for outgoing traffic
https-proxy|proxies.https-proxy|string|HTTPS proxy URL to use for outgoing traffic
icc||bool|Enable inter-container communication for the default bridge network
init||bool|Run an init in the container to forward signals and reap processes
init-path||string|Accepted for Docker's sake: the init is our own
insecure-registry|insecure-registries|list|Enable insecure registry communication
ip||ip|Host IP for port publishing from the default bridge network
ip-forward||bool|Enable IP forwarding in system configuration
ip-forward-no-drop||bool|Do not set the filter-FORWARD policy to DROP when enabling IP forwarding
ip-masq||bool|Enable IP masquerading for the default bridge network
ip6tables||bool|Enable addition of IPv6 firewall rules
iptables||bool|Enable addition of firewall rules
ipv6||bool|Enable IPv6 networking for the default bridge network
label|labels|list|Set key=value labels to the daemon
live-restore||bool|Accepted for Docker's sake: containers always outlive the daemon
log-driver||string|Default driver for container logs
log-format||string|Set the logging format ("text"|"json")
log-level,l||string|Set the logging level ("debug"|"info"|"warn"|"error"|"fatal")
log-opt|log-opts|map|Default log driver options for containers
max-concurrent-downloads||int|Set the max concurrent downloads
max-concurrent-uploads||int|Set the max concurrent uploads
max-download-attempts||int|Set the max download attempts for each pull
metrics-addr||string|Set default address and port to serve the metrics api on
min-api-version||string|Oldest API version to serve
mtu||int|Set the MTU for the default "bridge" network
network-control-plane-mtu||int|Network Control plane MTU
no-new-privileges||bool|Set no-new-privileges by default for new containers
no-proxy|proxies.no-proxy|string|Comma-separated list of hosts or IP addresses for which the proxy is skipped
node-generic-resource|node-generic-resources|list|Advertise user-defined resource
pidfile,p||string|Path to use for daemon PID file
raw-logs||bool|Full timestamps without ANSI coloring
registry-mirror|registry-mirrors|mirror|Preferred registry mirror
rootless||bool|Enable rootless mode
search-registry|search-registries|list|Further registry to ask for image names that have none
seccomp-profile||string|Path to seccomp profile. Set to "unconfined" to disable the default seccomp profile
selinux-enabled||bool|Enable selinux support
shutdown-timeout||int|Set the default shutdown timeout
storage-driver,s||string|Storage driver to use
storage-opt|storage-opts|list|Storage driver options
swarm-default-advertise-addr||string|Accepted for Docker's sake: there is no swarm
tls||bool|Use TLS; implied by --tlsverify
tlscacert||string|Trust certs signed only by this CA
tlscert||string|Path to TLS certificate file
tlskey||string|Path to TLS key file
tlsverify||bool|Use TLS and verify the remote
userland-proxy||bool|Accepted for Docker's sake: published ports need no process
userland-proxy-path||string|Accepted for Docker's sake
userns-remap||string|User/Group setting for user namespaces
validate|-|bool|Validate daemon configuration and exit
version,v|-|bool|Print version information and quit
"""


def _flag(row: str) -> Flag:
    names, key, kind, about = row.split("|", 3)
    name, _, short = names.partition(",")
    keep, parse = _KINDS[kind]
    return Flag(name, key or name, kind, about, short, keep, parse)


FLAGS: Final = tuple(_flag(row) for row in _TABLE.strip().splitlines())
_BY_NAME: Final = {flag.name: flag for flag in FLAGS}
_BY_SHORT: Final = {flag.short: flag for flag in FLAGS if flag.short}


def parse(arguments: Sequence[str]) -> CommandLine:
    """Read a command line; UsageError with pflag's words, HelpWanted for `--help`."""
    line = CommandLine()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("--help", "-h"):
            raise HelpWanted
        if not word.startswith("-") or word == "-":
            raise UsageError(f'"sampand" accepts no arguments: {word}')
        flag, text = _split(word)
        if text is None and flag.kind == "bool":
            text = "true"
        if text is None:
            if not rest:
                raise UsageError(f"flag needs an argument: {word}")
            text = rest.pop(0)
        _store(line, flag, text)
    return line


def _split(word: str) -> tuple[Flag, str | None]:
    """The flag of a word and the value that is written in the same word, if any."""
    if word.startswith("--"):
        name, equals, text = word[2:].partition("=")
        if name not in _BY_NAME:
            raise UsageError(f"unknown flag: --{name}")
        return _BY_NAME[name], text if equals else None
    flag = _BY_SHORT.get(word[1])
    if flag is None:
        raise UsageError(f"unknown shorthand flag: {word[1]!r} in {word}")
    return flag, word[2:].removeprefix("=") or None


def _store(line: CommandLine, flag: Flag, text: str) -> None:
    try:
        value = flag.parse(text)
    except InvalidArgument as error:
        raise UsageError(f'invalid argument "{text}" for "{flag.title}" flag: {error}') from None
    if flag.key == "-":
        setattr(line, flag.name.replace("-", "_"), value)
    elif flag.keep == "list":
        line.values.setdefault(flag.key, []).append(value)
    elif flag.keep == "map":
        _merge(line.values.setdefault(flag.key, {}), value)
    else:
        line.values[flag.key] = value


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            into[key].update(value)
        else:
            into[key] = value


def usage() -> str:
    """The text of `--help`."""
    rows = [
        f"  {'-' + flag.short + ',' if flag.short else '   '} --{flag.name + ' ' + _shown(flag):<38} {flag.about}"
        for flag in FLAGS
    ]
    return "Usage:\tsampand [OPTIONS]\n\nThe container engine's daemon.\n\nOptions:\n" + "\n".join(rows) + "\n"


def _shown(flag: Flag) -> str:
    return "" if flag.kind == "bool" else flag.kind
