"""Debian's docker-registry, open, with htpasswd, with a token server, and behind a private authority: both clients."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..support.certificates import make_certificates
from ..support.daemon import BIN, Daemon
from ..support.hosts import Host, Result, run
from ..support.registries import docker_registry_on, needs_docker_registry

pytestmark = needs_docker_registry

HTPASSWD = "ann:$2y$05$lFyjXFjRNuX0W/tAGgH2x.6uct8EBDiD/tRcYQGbCtspeUpCVJ6BC\n"
OUTSIDE = "10.99.0.2"
"""Another machine: nothing but TLS that can be verified is spoken with it."""


@dataclass
class Lab:
    daemon: Daemon
    directory: Path

    def docker(self, *args: str, stdin: str = "") -> Result:
        return self._run("docker", *args, stdin=stdin)

    def sampan(self, *args: str, stdin: str = "") -> Result:
        return self._run(str(BIN / "sampan"), *args, stdin=stdin)

    def _run(self, *argv: str, stdin: str) -> Result:
        # on the daemon's machine: `manifest` speaks to the registry itself
        environment = {**self.daemon.environment(), "SSL_CERT_FILE": f"{self.directory}/ca.pem"}
        return run(self.daemon.host.command(*argv), env=environment, stdin=stdin.encode())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("registries")
    make_certificates(directory, OUTSIDE)
    daemon = Daemon()
    daemon.start(env={"SSL_CERT_FILE": f"{directory}/ca.pem"})
    try:
        daemon.load_busybox()
        yield Lab(daemon, directory)
    finally:
        daemon.close()


@contextmanager
def registry(lab: Lab, kind: str, root: Path) -> Iterator[str]:
    """The address of a docker-registry of that kind."""
    sections: dict[str, Any] = {}
    host, address = lab.daemon.host, "127.0.0.1:5005"
    with ExitStack() as stack:
        if kind == "htpasswd":
            root.mkdir()
            (root / "users").write_text(HTPASSWD)
            sections = {"auth": {"htpasswd": {"realm": "test", "path": f"{root}/users"}}}
        elif kind == "token":
            realm = stack.enter_context(token_server(host, root))
            sections = {"auth": {"token": {"realm": f"http://{realm}/token", "service": "registry", "issuer": "tokens",
                                           "rootcertbundle": f"{root}/tokens/cert"}}}  # fmt: skip
        elif kind == "tls":
            host, address = lab.daemon.outside, f"{OUTSIDE}:5005"
            files = {"certificate": f"{lab.directory}/server.pem", "key": f"{lab.directory}/server.key"}
            sections = {"http": {"tls": files}}
        stack.enter_context(docker_registry_on(host, root, address, **sections))
        yield address


@contextmanager
def token_server(host: Host, root: Path) -> Iterator[str]:
    root.mkdir()
    command = (sys.executable, "-m", "tests.support.tokenserver", f"{root}/tokens", "127.0.0.1")
    with host.popen(*command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().decode().strip()
        finally:
            server.terminate()


def session(lab: Lab, client: str, kind: str, address: str) -> list[tuple[str, int, str, str]]:
    """What somebody does with a registry, and what the client said to each."""
    said = []

    def do(line: str, stdin: str = "") -> Result:
        result = getattr(lab, client)(*line.split(), stdin=stdin)
        texts = (normal(text, client, address) for text in (result.out, result.err))
        said.append((normal(line, client, address), result.status, *texts))
        return result

    name, whole = f"{address}/of-{client}/box:1", f"{address}/of-{client}/box:all"
    insecure = "" if kind == "tls" else "--insecure "
    do(f"tag busybox {name}")
    if kind in ("htpasswd", "token"):
        assert do(f"push {name}").status != 0
        assert do(f"login -u ann --password-stdin {address}", "wrong").status != 0
        assert do(f"login -u ann --password-stdin {address}", "secret").status == 0
    for line in (
        f"push {name}", f"rmi {name}", f"pull {name}", f"manifest create {insecure}{whole} {name}",
        f"manifest annotate --os-version 10 {whole} {name}", f"manifest push -p {insecure}{whole}",
        f"manifest inspect {insecure}{whole}", f"pull -q {whole}", f"rmi {whole} {name}",
    ):  # fmt: skip
        result = do(line)
        assert result.status == 0, (line, result)
        assert "inspect" not in line or json.loads(result.out)["manifests"][0]["platform"]["os.version"] == "10"
    if kind in ("htpasswd", "token"):
        do(f"logout {address}")
        do(f"tag busybox {name}")
        assert do(f"push {name}").status != 0
        do(f"rmi {name}")
    else:
        assert f"of-{client}/box" in do(f"search {address}/of-{client}").out
    assert do(f"pull {address}/of-{client}/none:1").status != 0
    return said


def normal(text: str, client: str, address: str) -> str:
    text = text.replace(f"of-{client}", "of-CLIENT").replace(address, "REGISTRY").replace("sampan:", "docker:")
    text = re.sub(r"[0-9a-f]{64}|[0-9a-f]{12}", "HEX", re.sub(r"127.0.0.1:[0-9]+", "REALM", text))
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("kind", ["open", "htpasswd", "token", "tls"])
def test_both_clients_at_dockers_registry(lab: Lab, tmp_path: Path, kind: str) -> None:
    said = []
    for client in ("docker", "sampan"):
        with registry(lab, kind, tmp_path / client) as address:
            said.append(session(lab, client, kind, address))
    assert said[1] == said[0]


def test_a_stranger_without_a_certificate_is_refused(lab: Lab, tmp_path: Path) -> None:
    """The same registry, by an authority that nobody told the daemon of."""
    files = {"certificate": f"{lab.directory}/stranger.pem", "key": f"{lab.directory}/stranger.key"}
    with docker_registry_on(lab.daemon.outside, tmp_path / "root", f"{OUTSIDE}:5005", http={"tls": files}):
        for client in (lab.docker, lab.sampan):
            result = client("pull", f"{OUTSIDE}:5005/x:1")
            assert result.status != 0 and "tls: failed to verify certificate: x509" in result.err
