"""The sockets that the API is served on: unix, TCP with TLS, and those that systemd passes."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import socket
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import Conflict, InvalidArgument, SampanError
from .config import DaemonConfig, Tls

if TYPE_CHECKING:
    import ssl

SD_LISTEN_FDS_START: Final = 3
"""The first descriptor that systemd passes (sd_listen_fds(3))."""

DEFAULT_GROUP: Final = "docker"

Factory = Callable[[], asyncio.BaseProtocol]


async def listen(config: DaemonConfig, factory: Factory) -> list[asyncio.Server]:
    """Open every configured listener; a failure names its address."""
    servers: list[asyncio.Server] = []
    loop = asyncio.get_running_loop()
    context = _context(config.tls) if config.tls else None
    for host in config.hosts:
        scheme, _, address = host.partition("://")
        if scheme == "tcp":
            servers.append(await _tcp(_secured(factory, context), host, *_address(address, config.tls)))
        elif scheme == "fd":
            for passed in _passed(address):
                secured = _secured(factory, context if passed.family != socket.AF_UNIX else None)
                servers.append(await loop.create_server(secured, sock=passed))
        else:
            servers.append(await loop.create_unix_server(factory, sock=unix_socket(address, config.group), backlog=128))
    return servers


async def listen_for_metrics(address: str, factory: Factory) -> list[asyncio.Server]:
    """`--metrics-addr`: plain HTTP, as Docker has it."""
    if not address:
        return []
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise InvalidArgument(f"metrics-addr: invalid address {address}")
    return [await _tcp(factory, f"metrics-addr {address}", host.strip("[]") or None, int(port))]


async def _tcp(factory: Factory, shown: str, host: str | None, port: int) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(factory, host, port, backlog=128)
    except (OSError, OverflowError) as error:
        raise SampanError(f"failed to listen on {shown}: {error}") from None


def _secured(factory: Factory, context: ssl.SSLContext | None) -> Factory:
    if context is None:
        return factory
    from .tls import TlsConnection

    return lambda: TlsConnection(context, factory)


def remove_sockets(hosts: Sequence[str]) -> None:
    """Delete the unix sockets that `listen` made."""
    for host in hosts:
        if host.startswith("unix://"):
            try:
                os.unlink(host.removeprefix("unix://"))
            except FileNotFoundError:
                pass


def unix_socket(path: str, group: str) -> socket.socket:
    """A listening socket that root and the group may use, and nobody else, from its first moment (S24)."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    gid = _gid(group)
    _remove_stale(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        made.bind(path)
    except OSError as error:
        made.close()
        raise SampanError(f"can't create unix socket {path}: {(error.strerror or '').lower()}") from None
    finally:
        os.umask(mask)
    os.chown(path, -1, gid)
    os.chmod(path, 0o660)
    return made


def _remove_stale(path: str) -> None:
    """Remove the socket of a daemon that is gone; one that answers, or a file that is no socket, is an error."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"can't create unix socket {path}: a file that is no socket is in the way")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        status = probe.connect_ex(path)
    if status == 0:
        raise Conflict(f"can't create unix socket {path}: another process listens there")
    if status in (errno.ECONNREFUSED, errno.ENOENT):
        os.unlink(path)


def _gid(group: str) -> int:
    """The group's number; without a name, that of `docker` where it exists, else root's."""
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group or DEFAULT_GROUP).gr_gid
    except KeyError:
        if not group:
            return 0
        raise InvalidArgument(f"group {group} not found") from None


def _address(text: str, tls: Tls | None) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "")
    number = port or ("2376" if tls else "2375")
    if not number.isdigit() or int(number) > 65535:
        raise InvalidArgument(f"invalid bind address (tcp://{text}): invalid port: {port}")
    return host.strip("[]") or "127.0.0.1", int(number)


def _passed(name: str) -> list[socket.socket]:
    """The sockets of systemd's socket activation; `*` or nothing: all, else those of that name."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise SampanError("no sockets found via socket activation: make sure the service was started by systemd")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    sockets = []
    for index in range(count):
        if name in ("", "*") or (index < len(names) and names[index] == name):
            os.set_inheritable(SD_LISTEN_FDS_START + index, False)
            sockets.append(socket.socket(fileno=SD_LISTEN_FDS_START + index))
    if not sockets:
        raise SampanError("no sockets found via socket activation: make sure the service was started by systemd")
    return sockets


def _context(tls: Tls) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert, tls.key or None)
        if tls.verify:
            context.load_verify_locations(tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(
            f'invalid TLS configuration: Could not load X509 key pair (cert: "{tls.cert}", key: "{tls.key}"): {error}'
        ) from None
    return context
