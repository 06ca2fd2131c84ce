"""What running containers do, and what they may use: stats, top, update."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..engine import stats as statistics
from ..engine import top, update
from ..engine.stats import Sample
from ..engine.update import UpdateRequest
from ..errors import InvalidArgument
from ..wire.stats import Stats
from .call import Call
from .readings import document


async def show_stats(call: Call) -> None:
    query = call.query
    ref = call.path["id"]
    if query.flag("stream", default=True):
        if query.flag("one-shot") and call.version >= (1, 41):
            raise InvalidArgument("cannot have stream=true and one-shot=true")
        await call.json_lines(_samples(call, ref))
        return
    one_shot = query.flag("one-shot") and call.version >= (1, 41)
    before, sample = await statistics.sample(call.engine, ref, one_shot)
    await call.json(document(sample, before))


async def _samples(call: Call, ref: str) -> AsyncIterator[Stats]:
    before: Sample | None = None
    async for sample in statistics.stream(call.engine, ref):
        yield document(sample, before)
        before = sample


async def show_top(call: Call) -> None:
    found = top.top(call.engine, call.path["id"], call.query.text("ps_args"))
    await call.json({"Processes": found.rows, "Titles": found.titles})


async def update_container(call: Call) -> None:
    request = await call.body(UpdateRequest)
    warnings = await update.update(call.engine, call.path["id"], request)
    await call.json({"Warnings": warnings or None})
