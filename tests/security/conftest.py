from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import Bundle
from tests.support.shimhost import host
from tests.system.conftest import _shared, daemon, make_daemon, name

__all__ = ["_shared", "box", "daemon", "host", "make_daemon", "name"]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Bundle]:
    bundle = Bundle(tmp_path)
    yield bundle
    bundle.close()
