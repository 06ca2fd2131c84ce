"""The shim's event loop."""

from __future__ import annotations

from sampan.shim.loop import Loop


def test_a_stop_before_the_run_counts() -> None:
    loop = Loop()
    loop.stop()
    loop.run()  # a keeper takes over a container that has just ended
