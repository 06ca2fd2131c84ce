from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.shimhost import ShimHost

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[ShimHost]:
    made = ShimHost(tmp_path)
    yield made
    await made.close()
