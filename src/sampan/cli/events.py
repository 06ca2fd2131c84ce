"""`events`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from . import filtering
from .command import CommandFailed, command
from .flags import Options, filters, string
from .formats import unescape
from .template import Template, TemplateSyntaxError
from .template_functions import to_json
from .template_values import TemplateError
from .timestamps import api_timestamp
from .usage import INSPECT_FORMAT_USAGE

if TYPE_CHECKING:
    from .session import Session

GO_NAMES = {
    "status": "Status",
    "id": "ID",
    "from": "From",
    "scope": "Scope",
    "time": "Time",
    "timeNano": "TimeNano",
}
"""The JSON names that differ from those that templates use."""
EMPTY = {"Status": "", "ID": "", "From": "", "Scope": "", "Time": 0, "TimeNano": 0}


@command(
    "[OPTIONS]",
    "Get real time events from the server",
    filters("filter", "Filter output based on conditions provided", short="f"),
    string("format", INSPECT_FORMAT_USAGE),
    string("since", "Show all events created since timestamp"),
    string("until", "Stream events until this timestamp"),
)
def events(session: Session, options: Options, arguments: list[str]) -> int:
    template = _template(options["format"])
    stream = session.client.events(
        api_timestamp(options["since"]) if options["since"] else None,
        api_timestamp(options["until"]) if options["until"] else None,
        filtering.parse(options["filter"]),
    )
    for event in stream:
        sys.stdout.write(_line(event, options["format"], template) + "\n")
        sys.stdout.flush()
    return 0


def _template(source: str) -> Template | None:
    if source in ("", "json", "{{json .}}"):
        return None
    try:
        return Template(unescape(source))
    except TemplateSyntaxError as error:
        raise CommandFailed(f"Error parsing format: {error}", 64) from None


def _line(event: Any, source: str, template: Template | None) -> str:
    if template is None:
        return to_json(event) if source else plain_line(event)
    try:
        return template.render({**EMPTY, **{GO_NAMES.get(key, key): value for key, value in event.items()}})
    except TemplateError as error:
        raise CommandFailed(str(error)) from None


def plain_line(event: Any) -> str:
    """`2026-11-29T18:43:52.793325152Z volume create vv (driver=local)`"""
    nanoseconds = event.get("timeNano") or event.get("time", 0) * 10**9
    moment = time.localtime(nanoseconds // 10**9)
    zone = time.strftime("%z", moment)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{nanoseconds % 10**9:09d}{zone}"
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    text = f"{stamp} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    return f"{text} ({attributes})" if attributes else text
