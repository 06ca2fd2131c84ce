"""A small token server (distribution's token protocol): `python -m tests.support.tokenserver DIRECTORY HOST`."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web


@dataclass
class TokenServer:
    """Signs tokens as docker-registry wants them (RS256 with the certificate in the header)."""

    directory: Path
    lifetime: int = 60
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens", "-keyout",
             f"{self.directory}/key", "-out", f"{self.directory}/cert"], check=True, capture_output=True,
        )  # fmt: skip

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.headers.get("Authorization", ""), request.query.get("scope", "")))
        if request.headers.get("Authorization") not in {None, "Basic " + base64.b64encode(b"ann:secret").decode()}:
            return web.Response(status=401)
        known = "Authorization" in request.headers
        access = [
            {"type": kind, "name": name, "actions": actions.split(",") if known else ["pull"]}
            for kind, name, actions in (scope.split(":") for scope in request.query.getall("scope", []))
        ]
        now = int(time.time())
        claims = {"iss": "tokens", "sub": "ann", "aud": request.query["service"], "exp": now + 300, "nbf": now - 5,
                  "iat": now, "jti": os.urandom(4).hex(), "access": access}  # fmt: skip
        return web.json_response({"token": self._sign(claims), "expires_in": self.lifetime})

    def _sign(self, claims: dict[str, object]) -> str:
        certificate = (self.directory / "cert").read_text().split("-----")[2].replace("\n", "")
        parts = [{"typ": "JWT", "alg": "RS256", "x5c": [certificate]}, claims]
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        command = ["openssl", "dgst", "-sha256", "-sign", f"{self.directory}/key"]
        signature = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
        return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def _main(directory: str, host: str) -> None:
    """Serve until killed; the first line of output is the address."""
    server = TokenServer(Path(directory))
    runner = web.ServerRunner(web.Server(server.handle))  # type: ignore[arg-type] # a handler
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    print(f"{host}:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
