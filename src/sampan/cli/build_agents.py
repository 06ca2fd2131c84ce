"""`--ssh`: our ssh agent, lent to a build for as long as it runs."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from .command import CommandFailed

if TYPE_CHECKING:
    from _socket import socket as Socket

    from sampan.client.sync import Client

_CHUNK = 1 << 16


def read_agent(text: str) -> tuple[str, str]:
    """The name and the socket of one flag: `default`, `default=/path/of/agent.sock`."""
    name, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise CommandFailed(f"invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set (--ssh {text})")
    if not _is_socket(path):
        raise CommandFailed(f"--ssh {text}: {path} is not the socket of an agent; keys are lent by an agent only")
    return name or "default", path


def _is_socket(path: str) -> bool:
    import stat

    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def lend(client: Client, session: str, name: str, path: str) -> None:
    """Offer a connection, and the next one when a step has taken it; ends with the build."""
    threading.Thread(target=_serve, args=(client.clone(), session, name, path), daemon=True).start()


def _serve(client: Client, session: str, name: str, path: str) -> None:
    from sampan.client.images import build_agent_call
    from sampan.errors import SampanError

    try:
        offered = client.hijack(build_agent_call(session, name))
        first = offered.rest or offered.socket.recv(_CHUNK)
    except (OSError, SampanError):
        return  # the build is over
    if not first:
        return
    lend(client, session, name, path)
    with closing(offered), socket.socket(socket.AF_UNIX) as agent:
        agent.connect(path)
        agent.sendall(first)
        _pump(offered.socket, agent)


def _pump(one: Socket, other: Socket) -> None:
    peers = {one: other, other: one}
    while True:
        for ready in select.select(list(peers), [], [])[0]:
            data = ready.recv(_CHUNK)
            if not data:
                return
            peers[ready].sendall(data)
