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


HELPER = """#!/bin/sh
case $1 in
store) cat > "$KEPT" ;;
get) [ -e "$KEPT" ] && exec cat "$KEPT"; echo "credentials not found in native keychain"; exit 1 ;;
erase) rm -f "$KEPT" ;;
list) echo "{}" ;;
esac
"""


def test_both_clients_use_one_credential_helper(lab: Lab, tmp_path: Path) -> None:
    helper = tmp_path / "bin/docker-credential-fake"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "fake"}')
    usual = lab.daemon.environment()
    environment = {**usual, "PATH": f"{helper.parent}:{usual['PATH']}", "DOCKER_CONFIG": str(tmp_path),
                   "KEPT": str(tmp_path / "kept")}  # fmt: skip

    def do(*argv: str, stdin: bytes = b"") -> Result:
        return run(lab.daemon.host.command(*argv), env=environment, stdin=stdin)

    sampan = str(BIN / "sampan")
    with registry(lab, "htpasswd", tmp_path / "root") as address:
        name, layout = f"{address}/helped:1", f"oci:{tmp_path}/layout:x"
        lab.daemon.ok("tag", "busybox", name)
        for first, second in (("docker", sampan), (sampan, "docker")):
            assert (
                "Login Succeeded" in do(first, "login", "-u", "ann", "--password-stdin", address, stdin=b"secret").out
            )
            assert "secret" in (tmp_path / "kept").read_text()
            assert "secret" not in (tmp_path / "config.json").read_text()
            pushed = do(second, "push", name)
            assert pushed.status == 0, pushed
            copied = do(sampan, "image", "copy", name, layout)
            assert copied.out.strip() in pushed.out and copied.out.startswith("sha256:"), copied
            assert do(second, "logout", address).status == 0
            assert not (tmp_path / "kept").exists()
            assert "no basic auth credentials" in do(first, "push", name).err
            assert "no basic auth credentials" in do(sampan, "image", "copy", name, layout).err
        lab.daemon.ok("rmi", name)


def test_a_copy_trusts_the_authority_that_it_is_given(lab: Lab, tmp_path: Path) -> None:
    with registry(lab, "tls", tmp_path / "root") as address:
        name = f"{address}/trusted:1"
        lab.daemon.ok("tag", "busybox", name)
        lab.daemon.ok("push", name)
        lab.daemon.ok("rmi", name)
        (tmp_path / f"certs/{address}").mkdir(parents=True)
        (tmp_path / f"certs/{address}/ca.crt").write_text((lab.directory / "ca.pem").read_text())
        command = lab.daemon.host.command(str(BIN / "sampan"), "image", "copy")
        target = f"oci-archive:{tmp_path}/copy.tar:x"
        refused = run([*command, name, target], env=lab.daemon.environment())
        assert refused.status == 1 and "failed to verify certificate" in refused.err
        copied = run([*command, "--certs-dir", f"{tmp_path}/certs", name, target], env=lab.daemon.environment())
        assert copied.status == 0 and copied.out.startswith("sha256:"), copied
