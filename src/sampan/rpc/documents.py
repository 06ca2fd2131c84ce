"""JSON through the C half of `json`: importing the other half takes 8 ms, a tenth of a container's start."""

from __future__ import annotations

from _json import encode_basestring, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Context:
    """What json.JSONDecoder has; the scanner reads these attributes."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012  (the scanner's own, emptied by it)


_scan = make_scanner(_Context())  # type: ignore[arg-type]  # typeshed names the wrong type


def loads(text: str) -> Any:
    """The value of a JSON text; ValueError for what is none."""
    text = text.strip()
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("not a JSON value") from None
    if end != len(text):
        raise ValueError(f"extra data at character {end}")
    return value


def read(path: str) -> Any:
    """The value in a JSON file."""
    with open(path, encoding="utf-8") as file:
        return loads(file.read())


def indented(value: Any, indent: str = "    ", margin: str = "\n") -> str:
    """The same for people: one member a line."""
    inner = margin + indent
    if isinstance(value, dict) and value:
        members = (f"{encode_basestring(key)}: {indented(item, indent, inner)}" for key, item in value.items())
        return "{" + inner + f",{inner}".join(members) + margin + "}"
    if isinstance(value, list) and value:
        return "[" + inner + f",{inner}".join(indented(item, indent, inner) for item in value) + margin + "]"
    return dumps(value)


def dumps(value: Any) -> str:
    """JSON text of plain values: dicts with string keys, lists, strings, numbers, booleans, None."""
    if isinstance(value, str):
        return str(encode_basestring(value))
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring(key)}:{dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dumps, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return int.__repr__(value) if isinstance(value, int) else repr(value)  # an IntEnum is a number
