"""`sampan registry serve`, and `push`, `pull` and `manifest` against it."""

from __future__ import annotations

import json

from ..support.daemon import BIN, Daemon
from ..support.hosts import Result, run

SAMPAN = str(BIN / "sampan")


def manifest(daemon: Daemon, *args: str) -> Result:
    """In the daemon's network namespace: here the client itself speaks to the registry."""
    return run(daemon.host.command(SAMPAN, "manifest", *args), env=daemon.environment())


def test_push_pull_and_lists(daemon: Daemon, registry: str, name: str) -> None:
    first, whole = f"{registry}/{name}:a", f"{registry}/{name}:all"
    assert daemon.sampan("tag", "busybox", first).status == 0
    pushed = daemon.sampan("push", first)
    assert pushed.status == 0, pushed
    digest = next(word for word in pushed.out.split() if word.startswith("sha256:"))
    assert daemon.sampan("rmi", first).status == 0

    created = manifest(daemon, "create", whole, first)
    assert created.out == f"Created manifest list {whole}\n", created
    assert manifest(daemon, "create", whole, first).status == 1
    assert manifest(daemon, "annotate", "--arch", "arm64", "--variant", "v8", whole, first).status == 0
    local = json.loads(manifest(daemon, "inspect", whole).out)
    assert manifest(daemon, "push", "--purge", whole).out.startswith("sha256:")
    remote = json.loads(manifest(daemon, "inspect", whole).out)
    assert local == remote
    (entry,) = remote["manifests"]
    assert entry["digest"] == digest
    assert entry["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert manifest(daemon, "rm", whole).err == f"No such manifest: {whole}\n"

    other = f"{registry}/{name}-other:all"
    assert manifest(daemon, "create", other, first).status == 0
    assert manifest(daemon, "push", "-p", other).status == 0
    verbose = json.loads(manifest(daemon, "inspect", "-v", other).out)
    assert verbose[0]["Descriptor"]["digest"] == digest

    pulled = daemon.sampan("pull", other)
    assert pulled.status == 0, pulled
    assert pulled.out.endswith(f"{other}\n")
    assert daemon.sampan("rmi", other).status == 0
    assert manifest(daemon, "inspect", f"{registry}/{name}:none").err == f"no such manifest: {registry}/{name}:none\n"
