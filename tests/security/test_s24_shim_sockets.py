"""S24: the shims' sockets are for their own user only (2020-15257)."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

from sampan.runtime import Shim
from tests.support.shimhost import ShimHost


async def test_s24_the_shims_socket_is_for_its_user_only(host: ShimHost) -> None:
    shim = await host.run(["sleep", "1000"])
    path = host.socket_path(shim)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    unix = Path("/proc/net/unix").read_text()
    assert f"@{path}" not in unix
    os.chmod(path, 0o777)  # what remains when the modes fail is the check of the peer
    os.chmod(os.path.dirname(path), 0o755)
    script = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
directory = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)
os.setuid(65534)
try:
    sock.connect(f"/proc/self/fd/{directory}/shim.sock")
    print(len(sock.recv(65536)))
except PermissionError:
    print(0)
"""
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", script, path, stdout=subprocess.PIPE)
    output, _ = await stranger.communicate()
    assert output.strip() == b"0"
    again = await Shim.connect(path)
    again.disconnect()
