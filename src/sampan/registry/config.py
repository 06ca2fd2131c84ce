"""How registries are reached: mirrors, certificates, proxies, limits, credentials."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable

from msgspec import Struct

from ..oci.reference import DEFAULT_DOMAIN

DOCKER_HUB = "https://registry-1.docker.io"
HUB_INDEX = "https://index.docker.io/v1/"
"""The key of Docker Hub's credentials in client configurations."""


def domain_of(address: str) -> str:
    """The registry's domain of what a client calls its server: a URL, a host, or nothing for Docker Hub."""
    if not address or address == HUB_INDEX:
        return DEFAULT_DOMAIN
    host = address.partition("://")[2] if "://" in address else address
    host = host.partition("/")[0]
    return DEFAULT_DOMAIN if host in {"index.docker.io", "docker.io", "registry-1.docker.io"} else host


class AuthConfig(Struct, frozen=True, omit_defaults=True):
    """Credentials as clients send them in `X-Registry-Auth`."""

    username: str = ""
    password: str = ""
    auth: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    def basic(self) -> tuple[str, str] | None:
        """User and password, from either of the two ways to say them."""
        if self.username:
            return self.username, self.password
        if not self.auth:
            return None
        import base64
        import binascii

        try:
            user, colon, password = base64.b64decode(self.auth).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None


ANONYMOUS = AuthConfig()

AuthFor = Callable[[str], Awaitable[AuthConfig]]
"""Credentials by registry host. Whoever asks may wait for a client of ours to tell them."""


async def no_credentials(_: str) -> AuthConfig:
    """For callers that have none."""
    return ANONYMOUS


class RegistryConfig(Struct, frozen=True):
    """Settings of the client. Times in seconds. Certificates lie in `<certs_dir>/<host[:port]>/`."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    certs_dirs: tuple[str, ...] = ("/etc/sampan/certs.d", "/etc/docker/certs.d")
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_attempts: int = 5
    retry_delay: float = 1.0
    """Doubles with every failure, up to half a minute."""
    stall_timeout: float = 60.0
    """A transfer that moves no byte for so long is given up and tried again."""
    connect_timeout: float = 30.0
    user_agent: str = "sampan"
    hub: str = DOCKER_HUB


class Endpoint(Struct, frozen=True):
    """One place where a registry's API may answer. `domain` names its certificates and credentials."""

    url: str
    domain: str
    verify: bool = True
    mirror: bool = False


def endpoints(config: RegistryConfig, domain: str) -> list[Endpoint]:
    """Where to try, in order: mirrors of Docker Hub first; an insecure registry also without TLS."""
    if domain == DEFAULT_DOMAIN:
        mirrors = [_mirror(config, url) for url in config.mirrors]
        return [*mirrors, Endpoint(config.hub, domain)]
    if not is_insecure(config, domain):
        return [Endpoint(f"https://{domain}", domain)]
    return [Endpoint(f"https://{domain}", domain, verify=False), Endpoint(f"http://{domain}", domain, verify=False)]


def _mirror(config: RegistryConfig, url: str) -> Endpoint:
    domain = url.partition("://")[2].partition("/")[0]
    return Endpoint(url.rstrip("/"), domain, verify=not is_insecure(config, domain), mirror=True)


def is_insecure(config: RegistryConfig, domain: str) -> bool:
    """Whether TLS is optional: loopback, or named by `insecure-registries` (a name, or a CIDR of its addresses)."""
    if domain in config.insecure:
        return True
    networks = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    for entry in config.insecure:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            continue  # a name
    return any(address in network for address in _addresses(domain) for network in networks)


def _addresses(domain: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    host = domain.rpartition(":")[0] if domain.rpartition(":")[2].isdigit() else domain
    host = host.strip("[]")
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    if host == "localhost":
        return [ipaddress.ip_address("127.0.0.1")]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


class Certificates(Struct, frozen=True):
    """Files of one `certs.d` directory: authorities (`*.crt`), and pairs of client certificate and key."""

    authorities: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


def certificates(config: RegistryConfig, domain: str) -> Certificates:
    """The certificates for a registry, from the first directory that has any."""
    for base in config.certs_dirs:
        directory = f"{base}/{domain}"
        if "/" in domain or not os.path.isdir(directory):
            continue
        names = sorted(os.listdir(directory))
        authorities = tuple(f"{directory}/{name}" for name in names if name.endswith(".crt"))
        clients = [name for name in names if name.endswith(".cert")]
        pairs = tuple((f"{directory}/{name}", f"{directory}/{name[:-5]}.key") for name in clients)
        return Certificates(authorities, pairs)
    return Certificates()


def proxy_for(config: RegistryConfig, url: str) -> str | None:
    """The proxy for a URL, or None; `no_proxy` lists hosts, domains (`.example.com`), addresses and networks."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    proxy = config.https_proxy if scheme == "https" else config.http_proxy
    if not proxy or _bypasses(config.no_proxy, host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _bypasses(no_proxy: str, authority: str) -> bool:
    host = authority.rpartition(":")[0] if authority.rpartition(":")[2].isdigit() else authority
    host = host.strip("[]").lower()
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, authority.lower(), address) for entry in no_proxy.split(","))


def _matches(
    entry: str, host: str, authority: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    if not entry:
        return False
    if entry in {"*", host, authority}:
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    return host.endswith(entry if entry.startswith(".") else f".{entry}")
