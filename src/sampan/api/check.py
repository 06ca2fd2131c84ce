"""Ours: `POST /system/check`: images, blobs and layers compared with what should be there, and mended."""

from __future__ import annotations

import asyncio

from ..engine import imagecheck
from .call import Call


async def check(call: Call) -> None:
    query = call.query
    repair = query.flag("repair")
    snapshots = call.engine.snapshots.check(repair=repair)
    found = await imagecheck.check_images(call.engine, repair=repair, verify=query.flag("verify", default=True))
    if repair:
        await asyncio.to_thread(call.engine.snapshots.settle)  # "repaired" means that it is gone
    await call.json({
        "Problems": [
            {"What": item.what, "Key": item.key, "Detail": item.detail, "Repaired": item.repaired, "Bytes": item.bytes}
            for item in found
        ] + [
            {"What": item.what, "Key": item.key, "Detail": item.detail, "Repaired": item.repaired, "Bytes": 0}
            for item in snapshots
        ]
    })  # fmt: skip
