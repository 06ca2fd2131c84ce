"""`search`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import filtering, reference
from .command import command, exactly
from .container_list import ellipsis
from .credentials import registry_auth
from .flags import Options, boolean, filters, integer, string
from .tabular import View, show

if TYPE_CHECKING:
    from .session import Session

DESCRIPTION_WIDTH = 45


def search_view(full: bool) -> View:
    def description(record: dict[str, str]) -> str:
        text = " ".join((record.get("description") or "").split())
        return text if full else ellipsis(text, DESCRIPTION_WIDTH)

    return View(
        "searchContext",
        "Name Description StarCount IsOfficial",
        {
            "Name": ("NAME", lambda record: record["name"]),
            "Description": ("DESCRIPTION", description),
            "StarCount": ("STARS", lambda record: str(record.get("star_count", 0))),
            "IsOfficial": ("OFFICIAL", lambda record: "[OK]" if record.get("is_official") else ""),
            "IsAutomated": ("AUTOMATED", lambda record: "[OK]" if record.get("is_automated") else ""),
        },
    )


@command(
    "[OPTIONS] TERM",
    "Search Docker Hub for images",
    filters("filter", "Filter output based on conditions provided", short="f"),
    string("format", "Pretty-print search using a Go template"),
    integer("limit", "Max number of search results"),
    boolean("no-trunc", "Don't truncate output"),
    arity=exactly(1),
)
def search(session: Session, options: Options, arguments: list[str]) -> int:
    term = arguments[0]
    auth = registry_auth(session, term if "/" in term else f"{reference.DEFAULT_DOMAIN}/{term}")
    found = session.client.image_search(term, options["limit"] or None, filtering.parse(options["filter"]), auth)
    show(search_view(options["no-trunc"]), found, options["format"])
    return 0
