"""Docker's filters of lists and prunes: the values of one are alternatives, but all labels must hold."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence

from ..errors import InvalidArgument
from . import quantity
from .times import nanoseconds

Filters = Mapping[str, Sequence[str]]


def check(filters: Filters, known: Collection[str]) -> None:
    """InvalidArgument for a filter that does not exist."""
    for name in filters:
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name}'")


def flag(filters: Filters, name: str) -> bool | None:
    """A truth value, None where it is not asked for; InvalidArgument where values contradict each other or are none."""
    values = filters.get(name, ())
    try:
        (found,) = {quantity.parse_bool(value) for value in values}
    except ValueError:
        if not values:
            return None
        raise InvalidArgument(f"invalid filter '{name}=[{' '.join(sorted(values))}]'") from None
    return found


def moment(filters: Filters, name: str) -> float | None:
    """Seconds since the epoch, None where it is not asked for."""
    values = filters.get(name, ())
    if len(values) > 1:
        raise InvalidArgument(f"more than one {name} filter specified")
    return parse_moment(values[0]) if values else None


def parse_moment(text: str) -> float:
    """Seconds since the epoch: those themselves, an RFC 3339 time, or a Go duration, which counts back from now."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    try:
        return time.time() - quantity.parse_duration(text) / 1e9
    except ValueError:
        pass
    try:
        return nanoseconds(text) / 1e9
    except (ValueError, OverflowError):
        raise InvalidArgument(f'failed to parse value as time or duration: "{text}"') from None


def has_label(labels: Mapping[str, str] | None, wanted: str) -> bool:
    """`key`, or `key=value`."""
    key, equals, value = wanted.partition("=")
    return key in (labels or {}) and (not equals or (labels or {})[key] == value)


def labelled(labels: Mapping[str, str] | None, filters: Filters) -> bool:
    """Whether every `label` holds and, as dockerd has it, not every `label!`, where there are any."""
    wanted, unwanted = filters.get("label", ()), filters.get("label!", ())
    return all(has_label(labels, text) for text in wanted) and not (
        unwanted and all(has_label(labels, text) for text in unwanted)
    )
