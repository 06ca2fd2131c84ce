"""Routes that Docker does not have: base images made on this host."""

from __future__ import annotations

from ..engine import bootstrap as bootstrapping
from ..errors import InvalidArgument
from ..model.progress import Report
from . import progress
from .call import Call
from .router import Route


async def bootstrap(call: Call) -> None:
    """`POST /images/bootstrap?name=debian:bookworm`: streams progress as a pull does."""
    name = call.query.text("name")
    if not name:
        raise InvalidArgument("the name of the image to make is missing")

    async def work(report: Report) -> None:
        await bootstrapping.bootstrap(call.engine, name, report)

    await progress.stream(call, work)


ROUTES: list[Route] = [("POST", "/images/bootstrap", bootstrap)]
"""They come before Docker's own: `/images/{name}/…` would take them for an image."""
