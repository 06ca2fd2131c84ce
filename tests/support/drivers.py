"""Where each storage driver can be tested on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROBES: dict[str, str] = {}


def needs(name: str) -> pytest.MarkDecorator | tuple[()]:
    """A skip mark where the machine lacks what the driver lies on."""
    missing = PROBES.get(name, "")
    return pytest.mark.skipif(bool(missing), reason=missing)


@contextmanager
def root_for(name: str, tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system that the driver can use."""
    root = tmp_path / "snapshots"
    root.mkdir()
    yield root
