"""`secret`: Docker's commands; on our daemon they need no swarm, and containers get secrets with `run --secret`."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from . import filtering, timestamps
from .archives import source
from .command import CommandFailed, at_least, between, command
from .each import each
from .flags import Options, boolean, filters, many, string
from .inspect import FORMAT, inspect_all
from .key_values import pairs
from .networks import label_text
from .tabular import View, show
from .usage import FORMAT_USAGE

if TYPE_CHECKING:
    from .session import Session

ANNOTATION = "dev.sampan.secrets"
"""How a container asks for secrets: `name[:target[:mode]]`, separated by commas."""
REQUEST = re.compile(r"[^:,]+(:[^:,]+(:0?[0-7]{3})?)?")


def _ago(key: str) -> Any:
    return lambda record: timestamps.ago(timestamps.seconds_of(record[key]))


SECRETS = View(
    "secretContext",
    "ID Name Driver CreatedAt UpdatedAt",
    {
        "ID": ("ID", lambda record: record["ID"]),
        "Name": ("NAME", lambda record: record["Spec"]["Name"]),
        "Driver": ("DRIVER", lambda record: (record["Spec"].get("Driver") or {}).get("Name", "")),
        "CreatedAt": ("CREATED", _ago("CreatedAt")),
        "UpdatedAt": ("UPDATED", _ago("UpdatedAt")),
        "Labels": ("LABELS", lambda record: label_text(record["Spec"].get("Labels"))),
        "Label": ("", lambda record: lambda name: (record["Spec"].get("Labels") or {}).get(name, "")),
    },
)


@command(
    "[OPTIONS]",
    "List secrets",
    filters("filter", "Filter output based on conditions provided", short="f"),
    string("format", FORMAT_USAGE),
    boolean("quiet", "Only display IDs", short="q"),
)
def ls(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.swarm_objects("secrets", filtering.parse(options["filter"]))
    ordered = sorted(found, key=lambda record: str(record["Spec"]["Name"]))
    show(SECRETS, ordered, options["format"], options["quiet"])
    return 0


@command(
    "[OPTIONS] SECRET [file|-]",
    "Create a secret from a file or STDIN as content",
    string("driver", "Secret driver", short="d"),
    many("label", "Secret labels", short="l"),
    string("template-driver", "Template driver"),
    arity=between(1, 2),
)
def create(session: Session, options: Options, arguments: list[str]) -> int:
    if options["driver"] and len(arguments) > 1:
        raise CommandFailed("When using secret driver secret data must be empty")
    spec: dict[str, Any] = {"Name": arguments[0], "Labels": pairs(options["label"])}
    for key, flag in (("Driver", "driver"), ("Templating", "template-driver")):
        if options[flag]:
            spec[key] = {"Name": options[flag]}
    if not options["driver"]:
        path = arguments[1] if len(arguments) > 1 else "-"
        with source("" if path == "-" else path) as file:
            spec["Data"] = base64.b64encode(file.read()).decode()
    session.say(session.client.secret_create(spec)["ID"])
    return 0


@command(
    "[OPTIONS] SECRET [SECRET...]", "Display detailed information on one or more secrets", FORMAT, arity=at_least(1)
)
def inspect(session: Session, options: Options, arguments: list[str]) -> int:
    return inspect_all(arguments, options["format"], lambda name: session.client.swarm_inspect("secrets", name))


@command("SECRET [SECRET...]", "Remove one or more secrets", arity=at_least(1))
def rm(session: Session, options: Options, arguments: list[str]) -> int:
    return each(session, arguments, session.client.secret_remove)


def annotation(requests: list[str]) -> dict[str, str]:
    """Of all `--secret` flags."""
    for text in requests:
        if not REQUEST.fullmatch(text):
            raise CommandFailed(f"invalid secret {text!r}: NAME[:TARGET[:MODE]] is wanted")
    return {ANNOTATION: ",".join(requests)} if requests else {}
