"""Which handler answers a method and path."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from .call import Call

Handler = Callable[["Call"], Awaitable[None]]
Route = tuple[str, str, Handler]
"""Method, path and handler. `{name}` in a path matches one segment, `{name:*}` also slashes (image names)."""

_PLACE = re.compile(r"\{(\w+)(:\*)?\}")


class Router:
    """Routes grouped by method and first segment, tried in the order they were added."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, str], list[tuple[str, Handler]]] = {}
        for method, path, handler in routes:
            key = (method, path.split("/", 2)[1])
            self._routes.setdefault(key, []).append((_pattern(path), handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | None:
        """The handler with the path's parameters, or None. `path` begins with a slash and has no version."""
        for pattern, handler in self._routes.get((method, path.split("/", 2)[1]), ()):
            match = re.fullmatch(pattern, path)  # compiled at first use: all of them are 5 ms of the daemon's start
            if match:
                return handler, {name: unquote(value) for name, value in match.groupdict().items()}
        return None


def _pattern(path: str) -> str:
    parts, end = [], 0
    for place in _PLACE.finditer(path):
        inner = ".+" if place[2] else "[^/]+"
        parts += [re.escape(path[end : place.start()]), f"(?P<{place[1]}>{inner})"]
        end = place.end()
    return "".join(parts) + re.escape(path[end:])
