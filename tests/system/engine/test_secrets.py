"""Secrets: sealed on disk, plain only on the container's tmpfs."""

from __future__ import annotations

import os

import pytest

from sampan.engine import remove, secrets
from sampan.engine.engine import Engine
from sampan.engine.sealing import Sealer
from sampan.errors import Conflict, DataLoss, InvalidArgument, NotFound
from sampan.model.container import HostConfig, LogConfig

from ...support.engine import make, run, up

VALUE = b"correct horse battery staple"


def asking(text: str) -> HostConfig:
    # Without a log: what the program itself writes out is not the engine's to hide.
    return HostConfig(network_mode="none", annotations={secrets.ANNOTATION: text}, log_config=LogConfig(type="none"))


async def test_secrets(engine: Engine) -> None:
    secrets.create(engine, "password", VALUE, {"tier": "db"})
    with pytest.raises(Conflict, match="secret password already exists"):
        secrets.create(engine, "password", b"x")
    for name, data in (("bad name", b"x"), ("empty", b""), ("huge", b"x" * secrets.LARGEST)):
        with pytest.raises(InvalidArgument):
            secrets.create(engine, name, data)
    with pytest.raises(NotFound, match="secret nosuch not found"):
        await make(engine, "true", host=asking("nosuch"))
    script = "cat /run/secrets/password; stat -c %a:%u /run/secrets/password /etc/other; grep secrets /proc/mounts"
    ran = await run(engine, "sh", "-c", script, host=asking("password,password:/etc/other:0400"))
    assert ran.out.startswith(VALUE + b"444:0\n400:0\n")
    assert b"/run/secrets/password tmpfs ro" in ran.out
    holder = await up(engine, "sleep", "1000", host=asking("password"))
    assert os.path.exists(f"{engine.paths.container(holder.id)}/secrets/0")
    with pytest.raises(Conflict, match="is in use by the following containers"):
        secrets.remove(engine, "password")
    engine.events.flush()
    for root, _, files in os.walk(engine.paths.data_root):
        if root.endswith("/secrets") or "/merged" in root:
            continue
        for file in files:
            with open(f"{root}/{file}", "rb") as content:
                assert VALUE not in content.read(), f"{root}/{file}"
    for container in engine.containers:
        await remove.remove(engine, container.id, force=True)
    assert [secret.name for secret in secrets.list_secrets(engine, {"label": ["tier=db"]})] == ["password"]
    secrets.remove(engine, secrets.get(engine, "password").id[:8])
    assert secrets.list_secrets(engine) == []


def test_sealing(tmp_path: object) -> None:
    path = f"{tmp_path}/key"
    sealer = Sealer(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    sealed = sealer.seal(VALUE, b"name")
    assert VALUE not in sealed
    assert sealed != sealer.seal(VALUE, b"name")
    assert Sealer(path).open(sealed, b"name") == VALUE
    for wrong, about in ((sealed[:-1] + b"x", b"name"), (sealed, b"other"), (b"", b"name")):
        with pytest.raises(DataLoss):
            sealer.open(wrong, about)
    with pytest.raises(DataLoss):
        Sealer(f"{tmp_path}/other").open(sealed, b"name")
