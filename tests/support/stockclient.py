"""The stock docker client as most machines have it: with buildx and Compose, here those of the peer's tree."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .hosts import Host, Result
from .peer import ensure_tree


def plug_in(home: Path) -> None:
    """Give a home directory's docker client the plugins."""
    plugins = home / ".docker/cli-plugins"
    plugins.mkdir(parents=True)
    for name in ("docker-buildx", "docker-compose"):
        (plugins / name).symlink_to(ensure_tree() / f"usr/libexec/docker/cli-plugins/{name}")


class StockClient:
    """The stock docker client with buildx and Compose against one engine; `host` is where it runs."""

    def __init__(self, url: str, home: Path, host: Host | None = None) -> None:
        plug_in(home)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DOCKER_HOST": url}
        self._docker = host.command("docker") if host is not None else ["docker"]

    def popen(self, *argv: str, cwd: Path) -> subprocess.Popen[str]:
        """In the background; what it says comes from both outputs together."""
        return subprocess.Popen(
            [*self._docker, *argv], cwd=cwd, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def log_in(self, registry: str, user: str, password: str) -> None:
        """Have credentials in the client's configuration."""
        word = base64.b64encode(f"{user}:{password}".encode()).decode()
        config = Path(self.environment["HOME"], ".docker/config.json")
        config.write_text(json.dumps({"auths": {registry: {"auth": word}}}))

    def run(self, *argv: str, cwd: Path | None = None, stdin: bytes | None = None) -> Result:
        done = subprocess.run(
            [*self._docker, *argv], cwd=cwd, env=self.environment, input=stdin or b"", capture_output=True, timeout=300
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def write(where: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        (where / path).write_text(text)


def archive(where: Path) -> bytes:
    return subprocess.run(["tar", "-C", str(where), "-c", "."], stdout=subprocess.PIPE, check=True).stdout
