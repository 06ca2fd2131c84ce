"""Docker's filters of network lists."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..errors import InvalidArgument
from ..model.filters import Filters, has_label, labelled
from .creation import PREDEFINED
from .spec import Network


def _matches_name(network: Network, wanted: str) -> bool:
    try:
        return re.search(wanted, network.name) is not None
    except re.error:
        return wanted in network.name


TESTS: dict[str, Callable[[Network, str, bool], bool]] = {
    "name": lambda network, wanted, dangling: _matches_name(network, wanted),
    "id": lambda network, wanted, dangling: network.id.startswith(wanted),
    "driver": lambda network, wanted, dangling: network.driver == wanted,
    "scope": lambda network, wanted, dangling: network.scope == wanted,
    "type": lambda network, wanted, dangling: (wanted == "builtin") == (network.name in PREDEFINED),
    "dangling": lambda network, wanted, dangling: (wanted in ("true", "1")) == dangling,
}


def check_filters(filters: Filters) -> None:
    """InvalidArgument with Docker's text for a filter that does not exist or a value that it does not take."""
    for name, values in filters.items():
        if name not in TESTS and name != "label":
            raise InvalidArgument(f"invalid filter '{name}'")
        for value in values:
            if name == "type" and value not in ("custom", "builtin"):
                raise InvalidArgument(f"invalid filter: 'type'='{value}'")
            if name == "dangling" and value not in ("true", "1", "false", "0"):
                raise InvalidArgument(
                    'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
                )


def matches(network: Network, filters: Filters, dangling: bool) -> bool:
    """Whether a network passes: any value of each filter, but all labels."""
    for name, wanted in filters.items():
        if name == "label":
            if not all(has_label(network.labels, label) for label in wanted):
                return False
        elif not any(TESTS[name](network, value, dangling) for value in wanted):
            return False
    return True


def prunable(network: Network, filters: Filters) -> bool:
    """Whether `network prune` may take it: `label`, `label!` and `until` (RFC 3339, made into that by the caller)."""
    return labelled(network.labels, filters) and all(network.created < value for value in filters.get("until", ()))
