"""The stock docker client and ours say the same of our own daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.daemon import Daemon
from ..support.twins import SECTION, Twins, lines


@pytest.mark.parametrize("section", SECTION)
def test_same_answers(section: str, daemon: Daemon, tmp_path: Path) -> None:
    twins = Twins(daemon.url, tmp_path)
    differences = [twins.difference(line) for line in lines(section)]
    assert not [difference for difference in differences if difference]
