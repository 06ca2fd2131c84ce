"""Our client over TCP with TLS: both sides verified, streams with a half-close, and what it says when refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from ..support.certificates import make_certificates
from ..support.daemon import BIN, Daemon

ADDRESS = "tcp://10.99.0.1:2376"
Done = subprocess.CompletedProcess[bytes]


def test_streams_and_refusals(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    make_certificates(tmp_path)
    tls = ["--tlsverify", f"--tlscacert={tmp_path}/ca.pem", f"--tlscert={tmp_path}/server.pem"]
    daemon = make_daemon("-H", ADDRESS, *tls, f"--tlskey={tmp_path}/server.key")

    def sampan(name: str, *words: str, data: bytes = b"", authority: str = "ca") -> Done:
        options = ["--tlsverify", f"--tlscacert={tmp_path}/{authority}.pem"]
        options += [f"--tlscert={tmp_path}/{name}.pem", f"--tlskey={tmp_path}/{name}.key"] if name else []
        argv = daemon.outside.command(str(BIN / "sampan"), "-H", ADDRESS, *options, *words)
        environment = {**daemon.environment(), "DOCKER_HOST": ""}
        return subprocess.run(argv, capture_output=True, input=data, env=environment, timeout=60, check=False)

    data = os.urandom(1 << 20) * 8
    echoed = sampan("client", "run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; exit 3", data=data)
    assert (echoed.returncode, echoed.stdout == data) == (3, True), echoed.stderr
    assert sampan("client", "images", "-q").stdout.strip()
    for refused in (sampan("stranger", "ps"), sampan("", "ps"), sampan("client", "ps", authority="strange")):
        assert refused.returncode == 1
        assert refused.stderr.startswith(b"error during connect: ")
