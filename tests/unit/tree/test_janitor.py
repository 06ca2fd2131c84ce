"""Chores beside the loop: in order, settled when asked, and no obstacle to an end."""

from __future__ import annotations

import threading

import pytest

from sampan.tree import janitor


def test_chores_are_done_in_order_and_a_failure_stops_none() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("no")

    cleaner = janitor.Janitor()
    assert cleaner.settle()
    for number in range(5):
        cleaner.add(lambda number=number: done.append(number), "one")  # type: ignore[misc] # the number of this turn
        cleaner.add(fail, "another")
    assert cleaner.settle() and done == [0, 1, 2, 3, 4]
    cleaner.close()
    cleaner.add(lambda: done.append(5), "after")
    assert cleaner.settle() and done[-1] == 5
    cleaner.close()


def test_an_end_waits_for_no_large_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor, "CLOSE_SECONDS", 0.01)
    go, cleaner = threading.Event(), janitor.Janitor()
    cleaner.add(lambda: bool(go.wait()) and None, "a large tree")
    cleaner.close()  # comes back
    assert not go.is_set()
    go.set()
