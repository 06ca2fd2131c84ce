"""How Go's templates see values: fields, truth, iteration and printing.

JSON does not tell a struct from a map nor which type a null has, so the few names for which that shows are listed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NULL_LISTS = frozenset(
    [
        "Args",
        "Binds",
        "CapAdd",
        "CapDrop",
        "Cmd",
        "DNSNames",
        "Devices",
        "DeviceRequests",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "Entrypoint",
        "Env",
        "ExecIDs",
        "ExtraHosts",
        "GroupAdd",
        "Links",
        "Aliases",
        "Mounts",
        "OnBuild",
        "RepoDigests",
        "RepoTags",
        "SecurityOpt",
        "Shell",
        "Ulimits",
        "VolumesFrom",
        "BlkioDeviceReadBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceWriteIOps",
        "BlkioWeightDevice",
        "DeviceCgroupRules",
        "Warnings",
        "Tags",
        "Names",
        "SecondaryIPAddresses",
        "SecondaryIPv6Addresses",
    ]
)
MAPS = frozenset(
    [
        "Annotations",
        "Containers",
        "DriverOpts",
        "ExposedPorts",
        "Labels",
        "Networks",
        "Options",
        "Opts",
        "PortBindings",
        "Ports",
        "Sysctls",
        "Tmpfs",
        "Volumes",
        "StorageOpt",
        "Status",
        "Data",
    ]
)
"""Fields that are Go maps: a key that is missing prints as `<no value>`, in a struct it is an error."""


class TemplateError(Exception):
    """The template failed while it ran."""


class NoValue:
    """Go's invalid value."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


NO_VALUE = NoValue()


class TypedNull:
    """A null whose Go type is known to be a slice or a map."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        return False


NULL_LIST, NULL_MAP = TypedNull("[]"), TypedNull("map[]")


class GoMap(dict[str, "Any"]):
    """A dictionary that is known to be a map."""


class Fields:
    """A row of a listing: named fields, computed when they are asked for.

    `getters` takes the record; one that returns a function is a method with arguments (`.Label "key"`).
    """

    __slots__ = ("getters", "record", "type_name")

    def __init__(self, type_name: str, getters: dict[str, Callable[[Any], Any]], record: Any) -> None:
        self.type_name, self.getters, self.record = type_name, getters, record

    def get(self, name: str) -> Any:
        getter = self.getters.get(name)
        if getter is None:
            raise TemplateError(f"can't evaluate field {name} in type *formatter.{self.type_name}")
        return getter(self.record)

    def plain(self) -> dict[str, Any]:
        """All fields without arguments, sorted as Go marshals a map."""
        values = {name: self.get(name) for name in sorted(self.getters)}
        return {name: value for name, value in values.items() if not callable(value)}


def field_of(value: Any, name: str) -> Any:
    if isinstance(value, Fields):
        return value.get(name)
    if isinstance(value, dict):
        if name not in value:
            return _missing(value, name)
        return _typed(name, value[name])
    if value is None or isinstance(value, (NoValue, TypedNull)):
        raise TemplateError(f'nil data; no entry for key "{name}"' if value is None else "nil pointer evaluating")
    raise TemplateError(f"can't evaluate field {name} in type {type_name(value)}")


def _missing(value: dict[str, Any], name: str) -> Any:
    if isinstance(value, GoMap):
        return NO_VALUE
    raise TemplateError(f'map has no entry for key "{name}"')


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return NULL_LIST if name in NULL_LISTS else NULL_MAP if name in MAPS else None
    return GoMap(value) if name in MAPS and isinstance(value, dict) else value


def truth(value: Any) -> bool:
    return True if isinstance(value, Fields) else bool(value)


def iterate(value: Any) -> list[tuple[Any, Any]]:
    """`(key, item)` pairs; maps in the order of their keys."""
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    if not value and not isinstance(value, (str, bool, float)):
        return []
    raise TemplateError(f"range can't iterate over {go_text(value)}")


def type_name(value: Any) -> str:
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")


def go_text(value: Any, nested: bool = False) -> str:
    """`fmt.Print` of a value."""
    if value is None or isinstance(value, NoValue):
        return "<nil>" if nested or value is None else "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(go_text(item, True) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key], True)}" for key in sorted(value)) + "]"
    if isinstance(value, Fields):
        return "{" + " ".join(go_text(item, True) for item in value.plain().values()) + "}"
    if isinstance(value, TypedNull):
        return value.text
    return _float_text(value) if isinstance(value, float) else str(value)


def _float_text(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)
