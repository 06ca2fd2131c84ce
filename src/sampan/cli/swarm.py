"""The listings that only a swarm has, which the daemon answers as Docker does outside a swarm, and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import filtering
from .command import Command, command
from .container_list import short_id
from .flags import Options, boolean, filters, string
from .tabular import View, show
from .usage import FORMAT_USAGE

if TYPE_CHECKING:
    from .session import Session

FLAGS = (
    filters("filter", "Filter output based on conditions provided", short="f"),
    string("format", FORMAT_USAGE),
    boolean("quiet", "Only display IDs", short="q"),
)
OBJECTS = View(
    "objectContext",
    "ID Name",
    {"ID": ("ID", lambda record: record["ID"]), "Name": ("NAME", lambda record: record["Spec"]["Name"])},
)


def _listing(kind: str) -> Command:
    @command("[OPTIONS]", f"List {kind}", *FLAGS)
    def run(session: Session, options: Options, arguments: list[str]) -> int:
        found = session.client.swarm_objects(kind, filtering.parse(options["filter"]))
        show(OBJECTS, found, options["format"], options["quiet"])
        return 0

    return run


configs, nodes, services = (_listing(kind) for kind in ("configs", "nodes", "services"))

PLUGINS = View(
    "pluginContext",
    "ID Name Description Enabled",
    {
        "ID": ("ID", lambda record: short_id(record["Id"])),
        "Name": ("NAME", lambda record: record["Name"]),
        "Description": ("DESCRIPTION", lambda record: record["Config"].get("Description", "")),
        "Enabled": ("ENABLED", lambda record: record["Enabled"]),
        "PluginReference": ("", lambda record: record.get("PluginReference", "")),
    },
)


@command("[OPTIONS]", "List plugins", *FLAGS, boolean("no-trunc", "Don't truncate output"))
def plugins(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.plugin_list(filtering.parse(options["filter"]))
    show(PLUGINS, found, options["format"], options["quiet"])
    return 0
