"""`system df`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..model import quantity
from . import timestamps
from .command import CommandFailed, command
from .container_list import container_view, short_id
from .flags import Options, boolean, string
from .images import image_rows, image_view
from .tabular import View, show
from .usage import FORMAT_USAGE
from .volumes import VOLUMES

if TYPE_CHECKING:
    from .session import Session

Usage = dict[str, Any]
RUNNING = ("running", "paused", "restarting")


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> dict[str, Any]:
    return {"Type": kind, "Total": total, "Active": active, "Size": size, "Reclaimable": reclaimable}


def rows(usage: Usage) -> list[dict[str, Any]]:
    return [_images(usage), _containers(usage), _volumes(usage), _cache(usage)]


def _images(usage: Usage) -> dict[str, Any]:
    images = usage.get("Images") or []
    used = sum(
        image["Size"] - image["SharedSize"]
        for image in images
        if image.get("Containers") and image["Size"] != -1 and image["SharedSize"] != -1
    )
    total = usage.get("LayersSize") or 0
    active = sum(1 for image in images if image.get("Containers", 0) > 0)
    return _row("Images", len(images), active, total, total - used)


def _containers(usage: Usage) -> dict[str, Any]:
    containers = usage.get("Containers") or []
    total = sum(container.get("SizeRw") or 0 for container in containers)
    active = [container for container in containers if container.get("State") in RUNNING]
    used = sum(container.get("SizeRw") or 0 for container in active)
    return _row("Containers", len(containers), len(active), total, total - used)


def _volumes(usage: Usage) -> dict[str, Any]:
    volumes = [volume for volume in usage.get("Volumes") or [] if volume.get("UsageData")]
    sizes = [(max(volume["UsageData"]["Size"], 0), volume["UsageData"]["RefCount"]) for volume in volumes]
    active = sum(1 for _, links in sizes if links > 0)
    total, free = sum(size for size, _ in sizes), sum(size for size, links in sizes if links == 0)
    return _row("Local Volumes", len(usage.get("Volumes") or []), active, total, free)


def _cache(usage: Usage) -> dict[str, Any]:
    records = usage.get("BuildCache") or []
    total = sum(record["Size"] for record in records if not record.get("Shared"))
    used = sum(record["Size"] for record in records if record.get("InUse") and not record.get("Shared"))
    active = sum(1 for record in records if record.get("InUse"))
    return _row("Build Cache", len(records), active, usage.get("BuilderSize") or total, total - used)


def _reclaimable(row: dict[str, Any]) -> str:
    text = quantity.human_size(row["Reclaimable"])
    if row["Size"] <= 0 or row["Type"] == "Build Cache":
        return text
    return f"{text} ({row['Reclaimable'] * 100 // row['Size']}%)"


SUMMARY = View(
    "diskUsageContext",
    "Type TotalCount Active Size Reclaimable",
    {
        "Type": ("TYPE", lambda row: row["Type"]),
        "TotalCount": ("TOTAL", lambda row: str(row["Total"])),
        "Active": ("ACTIVE", lambda row: str(row["Active"])),
        "Size": ("SIZE", lambda row: quantity.human_size(row["Size"])),
        "Reclaimable": ("RECLAIMABLE", _reclaimable),
    },
)
CACHE = View(
    "buildCacheContext",
    "ID CacheType Size CreatedSince LastUsedSince UsageCount Shared",
    {
        "ID": ("CACHE ID", lambda record: short_id(record["ID"]) + ("*" if record.get("InUse") else "")),
        "CacheType": ("CACHE TYPE", lambda record: record["Type"]),
        "Size": ("SIZE", lambda record: quantity.human_size3(record["Size"])),
        "CreatedSince": ("CREATED", lambda record: timestamps.ago(timestamps.seconds_of(record["CreatedAt"]))),
        "LastUsedSince": ("LAST USED", lambda record: _last_used(record)),
        "UsageCount": ("USAGE", lambda record: str(record.get("UsageCount", 0))),
        "Shared": ("SHARED", lambda record: "true" if record.get("Shared") else "false"),
        "Description": ("DESCRIPTION", lambda record: record.get("Description", "")),
    },
)


def _last_used(record: dict[str, Any]) -> str:
    text = record.get("LastUsedAt")
    return timestamps.ago(timestamps.seconds_of(text)) if text else ""


@command(
    "[OPTIONS]",
    "Show disk usage",
    string("format", FORMAT_USAGE),
    boolean("verbose", "Show detailed information on space usage", short="v"),
)
def df(session: Session, options: Options, arguments: list[str]) -> int:
    usage = session.client.disk_usage()
    if not options["verbose"]:
        show(SUMMARY, rows(usage), options["format"])
        return 0
    if options["format"]:
        raise CommandFailed("the format and the verbose options conflict")
    _verbose(usage)
    return 0


def _verbose(usage: Usage) -> None:
    out = sys.stdout
    out.write("Images space usage:\n\n")
    columns = "Repository Tag ID CreatedSince Size SharedSize UniqueSize Containers"
    images = list(image_rows(usage.get("Images") or [], False))
    show(image_view(False, False), images, columns=columns)
    out.write("\nContainers space usage:\n\n")
    columns = "ID Image Command LocalVolumes Size RunningFor Status Names"
    containers = [{**container, "SizeRootFs": 0} for container in usage.get("Containers") or []]
    show(container_view(False, True), containers, columns=columns)
    out.write("\nLocal Volumes space usage:\n\n")
    show(VOLUMES, usage.get("Volumes") or [], columns="Name Links Size")
    records = usage.get("BuildCache") or []
    total = sum(record["Size"] for record in records if not record.get("Shared"))
    out.write(f"\nBuild cache usage: {quantity.human_size(total)}\n\n")
    show(CACHE, records)
