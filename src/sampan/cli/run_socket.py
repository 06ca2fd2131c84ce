"""`--use-api-socket`: the daemon's socket and the logins of this user, inside a container."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from . import credentials

if TYPE_CHECKING:
    from .session import Session

SOCKET = "/var/run/docker.sock"
SECRETS = "/run/secrets/docker"


def add(session: Session, body: dict[str, Any]) -> bytes | None:
    """Put the socket into a request → the archive that is to follow it into the container, if there are logins."""
    url = session.host.url
    source = url.removeprefix("unix://") if url.startswith("unix://") else SOCKET
    mount = {"Type": "bind", "Source": source, "Target": SOCKET, "BindOptions": {}}
    body["HostConfig"]["Mounts"] = [*(body["HostConfig"]["Mounts"] or ()), mount]
    auths = credentials.all_auths(session.config)
    if not auths:
        return None
    body["Env"] = [*(body.get("Env") or ()), f"DOCKER_CONFIG={SECRETS}"]
    logins = {server: credentials.file_entry(auth) for server, auth in auths.items()}
    return _archive(json.dumps({"auths": logins}).encode())


def _archive(config: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("run", "run/secrets", "run/secrets/docker"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
        entry = tarfile.TarInfo("run/secrets/docker/config.json")
        entry.size, entry.mode = len(config), 0o600
        tar.addfile(entry, io.BytesIO(config))
    return buffer.getvalue()
