"""`--format`: templates of values and of listings."""

from __future__ import annotations

from .command import CommandFailed
from .template import Template, TemplateSyntaxError
from .template_functions import FUNCTIONS
from .template_values import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .tabular import View

_JSON = "{{json .}}"


def _unchanged(value: Any, *others: Any) -> Any:
    return value


_HEADER_FUNCTIONS = {**FUNCTIONS, **dict.fromkeys(("json", "split", "join", "truncate", "lower", "title"), _unchanged)}
"""In a header line these show the column's name."""


def of_value(source: str) -> Template:
    """A template for a whole document; `json` for all of it."""
    try:
        return Template(_JSON if source == "json" else unescape(source))
    except TemplateSyntaxError as error:
        raise CommandFailed(f"template parsing error: {error}", 64) from None


def unescape(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def listing(view: View, records: Iterable[Any], template: str) -> tuple[str, bool]:
    """The records as lines, and whether they are a table with headers, whose cells end with tabs."""
    source, with_header = _source(view, template)
    lines = []
    try:
        if with_header:
            lines.append(Template(source, _HEADER_FUNCTIONS).render(view.headers()))
        compiled = Template(source)
        if not with_header:
            compiled.render(view.headers())  # an unknown field is an error even where there is nothing to show
        lines.extend(compiled.render(view.row(record)) for record in records)
    except TemplateSyntaxError as error:
        raise CommandFailed(f"failed to parse template: {error}") from None
    except TemplateError as error:
        raise CommandFailed(f"failed to execute template: {error}") from None
    return "".join(line + "\n" for line in lines), with_header


def _source(view: View, template: str) -> tuple[str, bool]:
    """The template proper, and whether a header stands above it."""
    if template == "raw" and view.raw:
        return view.raw, False
    if template.startswith("table"):
        return unescape(template[5:].lstrip()), True
    return (_JSON, False) if template == "json" else (unescape(template), False)
