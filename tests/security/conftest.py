from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import Bundle
from tests.support.shimhost import host

__all__ = ["box", "host"]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Bundle]:
    bundle = Bundle(tmp_path)
    yield bundle
    bundle.close()
