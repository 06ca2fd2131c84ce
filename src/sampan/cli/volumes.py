"""`volume ls/create/rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model import quantity
from . import filtering
from .command import CommandFailed, at_least, at_most, command
from .each import each
from .flags import Options, boolean, filters, many, mapping, string
from .key_values import pairs
from .networks import label_text
from .tabular import View, show
from .usage import FORMAT_USAGE

if TYPE_CHECKING:
    from .session import Session

Record = dict[str, Any]
UNKNOWN = "N/A"


def _usage(key: str) -> Any:
    def get(record: Record) -> str:
        usage = record.get("UsageData")
        if usage is None:
            return UNKNOWN
        return quantity.human_size(usage[key]) if key == "Size" else str(usage[key])

    return get


def _unknown(record: Record) -> str:
    """Of cluster volumes only."""
    return UNKNOWN


VOLUMES = View(
    "volumeContext",
    "Driver Name",
    {
        "Name": ("VOLUME NAME", lambda record: record["Name"]),
        "Driver": ("DRIVER", lambda record: record["Driver"]),
        "Scope": ("SCOPE", lambda record: record["Scope"]),
        "Mountpoint": ("MOUNTPOINT", lambda record: record["Mountpoint"]),
        "Labels": ("LABELS", lambda record: label_text(record.get("Labels"))),
        "Label": ("", lambda record: lambda name: (record.get("Labels") or {}).get(name, "")),
        "Links": ("LINKS", _usage("RefCount")),
        "Size": ("SIZE", _usage("Size")),
        "Availability": ("AVAILABILITY", _unknown),
        "Group": ("GROUP", _unknown),
        "Status": ("STATUS", _unknown),
    },
    quiet="Name",
    raw="name: {{.Name}}\ndriver: {{.Driver}}\n",
)


@command(
    "[OPTIONS]",
    "List volumes",
    filters("filter", 'Provide filter values (e.g. "dangling=true")', short="f"),
    string("format", FORMAT_USAGE),
    boolean("quiet", "Only display volume names", short="q"),
)
def ls(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.volume_list(filtering.parse(options["filter"]))
    template = options["format"] or ("" if options["quiet"] else session.config.text("volumesFormat"))
    ordered = sorted(found.get("Volumes") or [], key=lambda volume: volume["Name"])
    show(VOLUMES, ordered, template, options["quiet"])
    return 0


@command(
    "[OPTIONS] [VOLUME]",
    "Create a volume",
    string("driver", "Specify volume driver name", short="d", default="local"),
    many("label", "Set metadata for a volume"),
    string("name", "Specify volume name", hidden=True),
    mapping("opt", "Set driver specific options (default map[])", short="o"),
    arity=at_most(1),
)
def create(session: Session, options: Options, arguments: list[str]) -> int:
    if arguments and options["name"]:
        raise CommandFailed(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    config = {
        "Name": arguments[0] if arguments else options["name"],
        "Driver": options["driver"],
        "DriverOpts": pairs(options["opt"]),
        "Labels": pairs(options["label"]),
    }
    session.say(session.client.volume_create(config)["Name"])
    return 0


@command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    boolean("force", "Force the removal of one or more volumes", short="f"),
    arity=at_least(1),
)
def rm(session: Session, options: Options, arguments: list[str]) -> int:
    return each(session, arguments, lambda name: session.client.volume_remove(name, options["force"]))
