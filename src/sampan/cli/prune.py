"""The prune commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..model.quantity import human_size
from . import filtering
from .command import Command, CommandFailed, command
from .each import confirm
from .flags import Flag, Options, boolean, filters, size

if TYPE_CHECKING:
    from sampan.client.sync import Client

    from .session import Session

Report = dict[str, Any]
FORCE = boolean("force", "Do not prompt for confirmation", short="f")
UNTIL = filters("filter", 'Provide filter values (e.g. "until=<timestamp>")')
SURE = "Are you sure you want to continue?"


def lines(title: str, names: list[str] | None) -> str:
    return title + "\n" + "".join(f"{name}\n" for name in names) if names else ""


def image_lines(report: Report) -> str:
    deleted = report.get("ImagesDeleted") or []
    texts = [
        f"untagged: {item['Untagged']}" if item.get("Untagged") else f"deleted: {item['Deleted']}" for item in deleted
    ]
    return lines("Deleted Images:", texts)


def _prune(
    summary: str,
    flags: tuple[Flag, ...],
    warning: Callable[[Options], str],
    act: Callable[[Client, Options], Report],
    shown: Callable[[Report], str],
    with_total: bool = True,
) -> Command:
    @command("[OPTIONS]", summary, FORCE, *flags)
    def run(session: Session, options: Options, arguments: list[str]) -> int:
        if not options["force"] and not confirm(session, f"{warning(options)}\n{SURE}"):
            raise CommandFailed(f"{session.name.split()[0]} prune has been cancelled")
        report = act(session.client, options)
        text = shown(report)
        if text:
            session.say(text)
        if with_total:
            session.say(f"Total reclaimed space: {human_size(report.get('SpaceReclaimed') or 0)}")
        return 0

    return run


def _filters(options: Options) -> filtering.Filters:
    return filtering.parse(options["filter"]) or {}


containers = _prune(
    "Remove all stopped containers",
    (UNTIL,),
    lambda options: "WARNING! This will remove all stopped containers.",
    lambda client, options: client.container_prune(_filters(options) or None),
    lambda report: lines("Deleted Containers:", report.get("ContainersDeleted")),
)
images = _prune(
    "Remove unused images",
    (boolean("all", "Remove all unused images, not just dangling ones", short="a"), UNTIL),
    lambda options: (
        "WARNING! This will remove all images without at least one container associated to them."
        if options["all"]
        else "WARNING! This will remove all dangling images."
    ),
    lambda client, options: client.image_prune(
        {**_filters(options), "dangling": ["false" if options["all"] else "true"]}
    ),
    image_lines,
)
networks = _prune(
    "Remove all unused networks",
    (UNTIL,),
    lambda options: "WARNING! This will remove all custom networks not used by at least one container.",
    lambda client, options: client.network_prune(_filters(options) or None),
    lambda report: lines("Deleted Networks:", report.get("NetworksDeleted")),
    with_total=False,
)


def _prune_volumes(client: Client, options: Options) -> Report:
    wanted = _filters(options)
    if options["all"]:
        if "all" in wanted:
            raise CommandFailed("conflicting options: cannot specify both --all and --filter all=1")
        wanted["all"] = ["true"]
    return client.volume_prune(wanted or None)


volumes = _prune(
    "Remove unused local volumes",
    (
        boolean("all", "Remove all unused volumes, not just anonymous ones", short="a"),
        filters("filter", 'Provide filter values (e.g. "label=<label>")'),
    ),
    lambda options: (
        "WARNING! This will remove all local volumes not used by at least one container."
        if options["all"]
        else "WARNING! This will remove anonymous local volumes not used by at least one container."
    ),
    _prune_volumes,
    lambda report: lines("Deleted Volumes:", report.get("VolumesDeleted")),
)
builds = _prune(
    "Remove build cache",
    (
        boolean("all", "Remove all unused build cache, not just dangling ones", short="a"),
        UNTIL,
        size("keep-storage", "Amount of disk space to keep for cache"),
    ),
    lambda options: (
        "WARNING! This will remove all build cache."
        if options["all"]
        else "WARNING! This will remove all dangling build cache."
    ),
    lambda client, options: client.build_prune(
        options["all"], _filters(options) or None, options["keep-storage"] or None
    ),
    lambda report: lines("Deleted build cache objects:", report.get("CachesDeleted")),
)


def _system_warning(options: Options) -> str:
    parts = ["all stopped containers", "all networks not used by at least one container"]
    if options["volumes"]:
        parts.append("all anonymous volumes not used by at least one container")
    if options["all"]:
        parts += ["all images without at least one container associated to them", "all build cache"]
    else:
        parts += ["all dangling images", "unused build cache"]
    text = "WARNING! This will remove:\n" + "".join(f"  - {part}\n" for part in parts)
    if options["filter"]:
        text += "\n  Items to be pruned will be filtered with:\n"
        text += "".join(f"  - {item}\n" for item in options["filter"])
    return text


@command(
    "[OPTIONS]",
    "Remove unused data",
    FORCE,
    boolean("all", "Remove all unused images not just dangling ones", short="a"),
    filters("filter", 'Provide filter values (e.g. "label=<key>=<value>")'),
    boolean("volumes", "Prune anonymous volumes"),
)
def system(session: Session, options: Options, arguments: list[str]) -> int:
    if options["volumes"] and any(text.startswith("until=") for text in options["filter"]):
        raise CommandFailed('ERROR: The "until" filter is not supported with "--volumes"')
    if not options["force"] and not confirm(session, f"{_system_warning(options)}\n{SURE}"):
        raise CommandFailed("system prune has been cancelled")
    client, wanted = session.client, _filters(options)
    reports = [client.container_prune(wanted or None), client.network_prune(wanted or None)]
    if options["volumes"]:
        reports.append(client.volume_prune(wanted or None))
    reports.append(client.image_prune({**wanted, "dangling": ["false" if options["all"] else "true"]}))
    build_filters = {key: values for key, values in wanted.items() if key == "until"}
    reports.append(client.build_prune(options["all"], build_filters or None))
    for report in reports:
        text = _system_lines(report)
        if text:
            session.say(text)
    total = sum(report.get("SpaceReclaimed") or 0 for report in reports)
    session.say(f"Total reclaimed space: {human_size(total)}")
    return 0


def _system_lines(report: Report) -> str:
    return (
        lines("Deleted Containers:", report.get("ContainersDeleted"))
        + lines("Deleted Networks:", report.get("NetworksDeleted"))
        + lines("Deleted Volumes:", report.get("VolumesDeleted"))
        + image_lines(report)
        + lines("Deleted build cache objects:", report.get("CachesDeleted"))
    )
