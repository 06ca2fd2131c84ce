"""The engine as a library: what docs/embedding.md promises."""

from __future__ import annotations

import pytest

import sampan
from sampan.engine.engine import Engine
from sampan.errors import SampanError
from sampan.model.container import HostConfig

NONE = HostConfig(network_mode="none")


async def test_run(engine: Engine) -> None:
    assert sampan.Engine is Engine
    done = await sampan.run(engine, "busybox", "sh", "-c", "read name; echo hello $name; echo x >&2; exit 3",
                            stdin=b"world\n", host=NONE)  # fmt: skip
    assert (done.status, done.out, done.err) == (3, b"hello world\n", b"x\n")
    with pytest.raises(TimeoutError):
        await sampan.run(engine, "busybox", "sleep", "1000", host=NONE, timeout=0.5)
    with pytest.raises(SampanError, match="wrote more than 1000 bytes"):
        await sampan.run(engine, "busybox", "yes", host=NONE, limit=1000)
    assert len(engine.containers) == 0
