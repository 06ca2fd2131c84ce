"""S26: exec, attach and resize over and over leave memory and fds flat (2022-23471, 2025-64329).

A client that stops reading is in tests/contract/shim/test_containers.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.shimhost import ShimHost


async def test_s26_many_execs_and_attachments_leave_memory_and_fds_flat(host: ShimHost) -> None:
    shim = await host.run(["sleep", "1000"])

    def footprint() -> tuple[int, int]:
        rollup = Path(f"/proc/{shim.pid}/smaps_rollup").read_text()
        dirty = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty"))
        return len(os.listdir(f"/proc/{shim.pid}/fd")), dirty

    async def cycle(number: int) -> None:
        stream = await host.exec(shim, ["true"], f"e{number}", tty=number % 2 == 0)
        extra = await host.attach(shim)
        extra.close()
        await stream.read()
        stream.close()

    async def exits(count: int) -> None:
        source = aiter(shim.exits)
        for _ in range(count):
            await anext(source)

    sizes = []
    for turn in range(2):
        for number in range(60):
            await cycle(turn * 60 + number)
        await exits(60)
        await shim.status()
        sizes.append(footprint())
    assert sizes[1][0] <= sizes[0][0] + 1  # a client's end may just be on its way
    assert sizes[1][1] <= sizes[0][1] + 200
