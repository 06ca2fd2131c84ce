"""`RUN --mount=…`: its options as a value. Reference: docker/dockerfile:1, «RUN --mount»."""

from __future__ import annotations

import csv

from msgspec import Struct

from ..errors import InvalidArgument

TYPES = frozenset({"bind", "cache", "tmpfs", "secret", "ssh"})
SHARING = frozenset({"shared", "private", "locked"})

# option name → field, and which types take it
_OPTIONS: dict[str, tuple[str, frozenset[str]]] = {
    "target": ("target", TYPES), "dst": ("target", TYPES), "destination": ("target", TYPES),
    "source": ("source", frozenset({"bind", "cache"})), "src": ("source", frozenset({"bind", "cache"})),
    "from": ("from_", frozenset({"bind", "cache"})), "id": ("id", frozenset({"cache", "secret", "ssh"})),
    "sharing": ("sharing", frozenset({"cache"})), "size": ("size", frozenset({"tmpfs"})),
    "mode": ("mode", frozenset({"cache", "secret", "ssh"})), "uid": ("uid", frozenset({"cache", "secret", "ssh"})),
    "gid": ("gid", frozenset({"cache", "secret", "ssh"})), "env": ("env", frozenset({"secret"})),
}  # fmt: skip
_SWITCHES = {"readonly": "read_only", "ro": "read_only", "required": "required"}
_OPPOSITES = {"rw": "read_only", "readwrite": "read_only"}


class RunMount(Struct, frozen=True):
    """`read_only` is None where neither was said: bind is then read-only, cache is not. Sizes in bytes."""

    type: str = "bind"
    target: str = ""
    source: str = ""
    from_: str = ""
    id: str = ""
    sharing: str = "shared"
    read_only: bool | None = None
    required: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str = ""


def parse_mount(text: str) -> RunMount:
    """Parse the value of one `--mount` flag (CSV of key=value, already expanded)."""
    fields: dict[str, str | int | bool] = {}
    for item in next(csv.reader([text])):
        key, equals, value = item.partition("=")
        key = key.strip().lower()
        if key == "type":
            fields["type"] = value.lower()
        elif key in _SWITCHES or key in _OPPOSITES:
            on = _boolean(key, value) if equals else True
            fields[_SWITCHES.get(key) or _OPPOSITES[key]] = on != (key in _OPPOSITES)
        elif key in _OPTIONS and equals:
            fields[_OPTIONS[key][0]] = _typed(key, value)
        else:
            raise InvalidArgument(
                f"unexpected key '{key}' in '{item}'" if equals else f"invalid field '{item}' must be a key=value pair"
            )
    kind = str(fields.get("type", "bind"))
    _check(kind, fields)
    return RunMount(**fields)  # type: ignore[arg-type] # the table above types each field


def _typed(key: str, value: str) -> str | int:
    if key in ("uid", "gid"):
        if not value.isdigit():
            raise InvalidArgument(f"invalid value for {key}: {value}")
        return int(value)
    if key == "mode":
        try:
            return int(value, 8)
        except ValueError:
            raise InvalidArgument(f"invalid value {value} for mode") from None
    return _bytes(value) if key == "size" else value


def _bytes(value: str) -> int:
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number, unit = value.lower().removesuffix("b"), ""
    if number[-1:] in "kmg" and number:
        number, unit = number[:-1], number[-1]
    if not number.isdigit():
        raise InvalidArgument(f"invalid value for size: {value}")
    return int(number) * units[unit]


def _boolean(key: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise InvalidArgument(f"invalid value for {key}: {value}")
    return value.lower() in ("true", "1")


def _check(kind: str, fields: dict[str, str | int | bool]) -> None:
    if kind not in TYPES:
        raise InvalidArgument(f'unsupported mount type "{kind}"')
    for field, takers in _OPTIONS.values():
        if field in fields and kind not in takers:
            raise InvalidArgument(f"option {field.rstrip('_')} is not allowed for mount type {kind!r}")
    if fields.get("sharing", "shared") not in SHARING:
        raise InvalidArgument(f"unsupported sharing value {fields['sharing']!r}")
    if kind in ("cache", "tmpfs", "bind") and not fields.get("target"):
        raise InvalidArgument('invalid mount target "/"')
