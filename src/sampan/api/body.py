"""Request bodies as Go's `encoding/json` reads them into typed values.

Docker's clients rely on three of its habits: `null` leaves a field at its default, field names match whatever their
case, and unknown fields are ignored. Errors have Go's words, because tools show them.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from ..errors import InvalidArgument

T = TypeVar("T", bound=Struct)
V = TypeVar("V")
Shape = Callable[[Any, str], Any]

STRING_OR_LIST = frozenset(("Cmd", "Entrypoint", "CapAdd", "CapDrop"))
"""Fields whose value may be one string instead of a list of strings (Docker's StrSlice)."""


def decode(data: bytes, kind: type[T], *, name: str = "") -> T:
    """A typed value from a JSON document; InvalidArgument names the field and both types. `name` is Go's type name."""
    return convert(parse(data), kind, name=name)


def from_header(text: str, kind: type[V], default: V) -> V:
    """A value from base64url of JSON, as credentials travel; what cannot be read is the default, as in Docker."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (msgspec.MsgspecError, ValueError):
        return default


def parse(data: bytes) -> Any:
    """Any JSON document; InvalidArgument when it is none. What is no UTF-8 in it becomes U+FFFD."""
    try:
        return msgspec.json.decode(data.decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument(_complaint(str(error))) from None


def _complaint(text: str) -> str:
    if "trailing characters" in text:
        return "unexpected content after JSON"
    return f"invalid JSON: {'unexpected EOF' if 'truncated' in text else text}"


def convert(document: Any, kind: type[T], *, name: str = "") -> T:
    """The same from a parsed document."""
    if document is None:
        document = {}
    if not isinstance(document, dict):
        wanted = name or kind.__name__
        raise InvalidArgument(f"invalid JSON: json: cannot unmarshal {_kind(document)} into Go value of type {wanted}")
    try:
        return msgspec.convert(_shape(kind)(document, name), kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from None


@cache
def _shape(kind: Any) -> Shape:
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> Shape:
    """A function that brings a JSON value into the form that `msgspec.convert` takes."""
    if isinstance(info, inspect.StructType):
        return _struct(info)
    if isinstance(info, inspect.UnionType):
        members = [member for member in info.types if not isinstance(member, inspect.NoneType)]
        return _of(members[0]) if len(members) == 1 else _anything
    if isinstance(info, inspect.DictType):
        return _dict(_of(info.value_type), _is_optional(info.value_type), _zero(info.value_type))
    if isinstance(info, inspect.ListType):
        return _list(_of(info.item_type))
    for scalar, python, name in _SCALARS:
        if isinstance(info, scalar):
            return _scalar(python, name)
    return _anything


_SCALARS: list[tuple[type, type | tuple[type, ...], str]] = [
    (inspect.BoolType, bool, "bool"),
    (inspect.IntType, int, "int64"),
    (inspect.FloatType, (int, float), "float64"),
    (inspect.StrType, str, "string"),
]


def _anything(value: Any, path: str) -> Any:
    return value


def _scalar(python: type | tuple[type, ...], name: str) -> Shape:
    def shape(value: Any, path: str) -> Any:
        is_number = type(value) in (int, float)
        if is_number and python is int and not (isinstance(value, int) and -(1 << 63) <= value < 1 << 63):
            raise InvalidArgument(
                f"invalid JSON: json: cannot unmarshal number {value} into Go struct field {path} of type {name}"
            )
        if not isinstance(value, python) or (isinstance(value, bool) and python is not bool):
            raise _mismatch(value, path, name)
        return value

    return shape


def _list(item: Shape) -> Shape:
    def shape(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _mismatch(value, path, "[]string")
        return [item(part, path) for part in value if part is not None]

    return shape


def _dict(item: Shape, optional: bool, zero: Any) -> Shape:
    def shape(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(value, path, "map[string]string")
        empty = None if optional else zero
        return {key: empty if part is None else item(part, path) for key, part in value.items()}

    return shape


def _struct(info: inspect.StructType) -> Shape:
    # Shapes of fields are made on first use: types may contain themselves.
    fields = {field.encode_name.lower(): field for field in info.fields}
    shapes: dict[str, Shape] = {}

    def shape(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(value, path, info.cls.__name__)
        shaped = {}
        for key, part in value.items():
            field = fields.get(key.lower())
            if field is None or part is None:
                continue
            name = field.encode_name
            if name not in shapes:
                shapes[name] = _field(field)
            shaped[name] = shapes[name](part, f"{path}.{name}")
        return shaped

    return shape


def _field(field: inspect.Field) -> Shape:
    inner = _of(field.type)
    if field.encode_name in STRING_OR_LIST:
        return lambda value, path: inner([value] if isinstance(value, str) else value, path)
    return inner


def _is_optional(info: inspect.Type) -> bool:
    return isinstance(info, inspect.UnionType) and info.includes_none


def _zero(info: inspect.Type) -> Any:
    if isinstance(info, inspect.StrType):
        return ""
    if isinstance(info, inspect.BoolType):
        return False
    return 0 if isinstance(info, inspect.IntType) else {}


def _mismatch(value: Any, path: str, wanted: str) -> InvalidArgument:
    return InvalidArgument(
        f"invalid JSON: json: cannot unmarshal {_kind(value)} into Go struct field {path} of type {wanted}"
    )


_KINDS: dict[type, str] = {str: "string", list: "array", dict: "object", bool: "bool", int: "number", float: "number"}


def _kind(value: Any) -> str:
    """Go's name for the kind of a JSON value."""
    return _KINDS.get(type(value), "null")
