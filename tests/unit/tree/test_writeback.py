"""Files that are written while more are made."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sampan.tree.writeback import Writeback


@pytest.mark.parametrize("count", [3, 64, 1000])
def test_every_file_is_closed_and_the_thread_ends(tmp_path: Path, count: int) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with Writeback() as writeback:
        for number in range(count):
            writeback.take(os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY), 1 << 20)
    assert set(os.listdir("/proc/self/fd")) == before
    assert "writeback" not in {thread.name for thread in threading.enumerate()}


def test_it_ends_with_the_work_that_fails(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyError), Writeback() as writeback:
        for number in range(100):
            writeback.take(os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY), 1 << 20)
        raise KeyError
    assert set(os.listdir("/proc/self/fd")) == before
