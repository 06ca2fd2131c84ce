"""Query parameters as Docker reads them."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from ..errors import InvalidArgument
from ..model.quantity import parse_int
from ..model.times import nanoseconds
from . import body

FALSE = frozenset(("", "0", "no", "false", "none"))
"""Every other text is true (httputils.BoolValue)."""


class Query:
    """The parameters of one request; the first value counts where one is repeated."""

    def __init__(self, text: str) -> None:
        try:
            self._values = parse_qs(text, keep_blank_values=True, max_num_fields=4096) if text else {}
        except ValueError as error:
            raise InvalidArgument(str(error)) from None

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """The value, or `default` where it is missing."""
        return self._values.get(name, [default])[0]

    def all(self, name: str) -> list[str]:
        """Every value of a repeated parameter."""
        return self._values.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean; `default` where it is missing."""
        if name not in self._values:
            return default
        return self.text(name).strip().lower() not in FALSE

    def number(self, name: str, default: int = 0) -> int:
        """A decimal integer; `default` where it is missing or empty."""
        text = self.text(name)
        return _integer(text) if text else default

    def optional_number(self, name: str) -> int | None:
        """A decimal integer, or None where it is missing or empty."""
        text = self.text(name)
        return _integer(text) if text else None

    def time_ns(self, name: str) -> int | None:
        """A moment in nanoseconds: seconds since the epoch with an optional fraction, or RFC 3339."""
        text = self.text(name)
        return moment(text, name) if text else None

    def filters(self) -> dict[str, list[str]]:
        """`filters`: `{"name": {"value": true}}`, or lists of values as old clients send."""
        text = self.text("filters")
        return parse_filters(text) if text else {}


def _integer(text: str) -> int:
    try:
        return parse_int(text)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def moment(text: str, name: str) -> int:
    """Nanoseconds since the epoch; InvalidArgument names the parameter."""
    seconds, _, fraction = text.partition(".")
    sign, digits = (-1, seconds[1:]) if seconds.startswith("-") else (1, seconds)
    if digits.isascii() and digits.isdigit() and len(digits) < 12 and re.fullmatch("[0-9]*", fraction):
        return sign * (int(digits) * 1_000_000_000 + int(fraction[:9].ljust(9, "0")))
    try:
        return nanoseconds(text)
    except (ValueError, OverflowError):
        raise InvalidArgument(f'invalid value for "{name}": failed to parse {text!r} as a timestamp') from None


def parse_filters(text: str) -> dict[str, list[str]]:
    """Both forms of the filters' JSON; InvalidArgument in Docker's words."""
    try:
        document = body.parse(text.encode())
    except (InvalidArgument, UnicodeEncodeError):
        raise InvalidArgument("invalid filter") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidArgument("invalid filter")
    return {name: _values(values) for name, values in document.items()}


def _values(values: object) -> list[str]:
    if values is None:
        return []
    if isinstance(values, dict) and all(isinstance(held, bool) for held in values.values()):
        return list(values)
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    raise InvalidArgument("invalid filter")
