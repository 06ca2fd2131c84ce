"""`builder du`: what the build cache holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..model.quantity import human_size
from .command import command
from .flags import Options, boolean, string

if TYPE_CHECKING:
    from .session import Session


@command(
    "[OPTIONS]",
    "Disk usage of the build cache",
    string("format", 'Output: "table" or "json"', default="table"),
    boolean("verbose", "Provide a more verbose output"),
)
def usage(session: Session, options: Options, arguments: list[str]) -> int:
    records = session.client.disk_usage(["build-cache"]).get("BuildCache") or []
    if options["format"] == "json":
        for record in records:
            session.say(json.dumps(record))
        return 0
    if options["verbose"]:
        for record in records:
            session.say(_paragraph(record))
    else:
        session.say(f"{'ID':<14}{'RECLAIMABLE':<13}{'SIZE':<10}{'USES':<6}DESCRIPTION")
        for record in records:
            reclaimable = "false" if record["Shared"] else "true"
            size = human_size(record["Size"])
            shown = record["Description"].splitlines()[0][:60]
            session.say(f"{record['ID'][:12]:<14}{reclaimable:<13}{size:<10}{record['UsageCount']:<6}{shown}")
    total = sum(record["Size"] for record in records)
    free = sum(record["Size"] for record in records if not record["Shared"])
    session.say(f"Reclaimable:\t{human_size(free)}\nTotal:\t\t{human_size(total)}")
    return 0


def _paragraph(record: dict[str, Any]) -> str:
    names = ("ID", "CreatedAt", "LastUsedAt", "UsageCount", "Size", "Shared", "Description")
    return "".join(f"{name}:\t{record[name]}\n" for name in names)
