"""The daemon's end of a control connection, against a peer that is no shim."""

from __future__ import annotations

import socket

import pytest

from sampan.errors import Unavailable
from sampan.rpc import framing, messages
from sampan.runtime.channel import Channel, ShimGone


@pytest.mark.parametrize("nonsense", [b"x", framing.split(b"no message")[0]])
async def test_a_broken_protocol_ends_the_connection(nonsense: bytes) -> None:
    """The socket is closed, and the container is not taken for dead."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        channel = Channel(ours)
        theirs.send(nonsense)
        with pytest.raises(Unavailable, match="no message") as broken:
            await channel.hello
        assert not isinstance(broken.value, ShimGone)
        assert channel.closed and ours.fileno() == -1
        assert await channel.exits.get() is None
        with pytest.raises(Unavailable, match="no message"):
            await channel.request(messages.Inspect())
