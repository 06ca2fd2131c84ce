"""A forward proxy for machines that live in a network namespace without a way out.

python tools/proxy.py serve PATH     on the machine: HTTP and CONNECT for whoever reaches the unix socket PATH
python tools/proxy.py relay PATH     in the namespace: TCP port 3128, passed on to PATH
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

PORT = 3128


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass  # the other side has gone


async def _join(first: tuple[asyncio.StreamReader, asyncio.StreamWriter],
                second: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:  # fmt: skip
    await asyncio.gather(_pump(first[0], second[1]), _pump(second[0], first[1]))
    for _, writer in (first, second):
        writer.close()


async def _proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, rest = head.split(b" ", 2)
    if method == b"CONNECT":
        host, _, port = target.decode().rpartition(":")
        remote = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        parts = urlsplit(target.decode())
        remote = await asyncio.open_connection(parts.hostname, parts.port or 80)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        # one request a connection: what follows would need its own address
        lines = [line for line in rest.split(b"\r\n") if not line.lower().startswith((b"proxy-", b"connection:"))]
        lines.insert(1, b"Connection: close")
        remote[1].write(method + b" " + (path or "/").encode() + b" " + b"\r\n".join(lines))
    await _join((reader, writer), remote)


async def _relay(path: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join((reader, writer), await asyncio.open_unix_connection(path))

    server = await asyncio.start_server(connected, "0.0.0.0", PORT)
    print("ready", flush=True)
    await server.serve_forever()


async def _serve(path: str) -> None:
    server = await asyncio.start_unix_server(_proxy, path)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run({"serve": _serve, "relay": _relay}[sys.argv[1]](sys.argv[2]))
