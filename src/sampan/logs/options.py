"""Which options each log driver has, checked with Docker's texts."""

from __future__ import annotations

from sampan import errors
from sampan.model import quantity

from .info import LogInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_COMMON = frozenset({"mode", "max-buffer-size"})
_CACHE = frozenset({"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"})
_CHOICE = frozenset({"labels", "labels-regex", "env", "env-regex", "tag"})

OPTIONS: dict[str, frozenset[str]] = {
    "json-file": frozenset({"max-file", "max-size", "compress"}) | _CHOICE,
    "local": frozenset({"max-file", "max-size", "compress"}),
    "none": frozenset(),
    "journald": _CHOICE,
    "syslog": _CHOICE
    | {
        "syslog-address", "syslog-facility", "syslog-format",
        "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify",
    },
    "gelf": _CHOICE
    | {
        "gelf-address", "gelf-compression-type", "gelf-compression-level",
        "gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay",
    },
    "fluentd": _CHOICE
    | {
        "fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-async-reconnect-interval",
        "fluentd-buffer-limit", "fluentd-max-retries", "fluentd-read-timeout", "fluentd-request-ack",
        "fluentd-retry-wait", "fluentd-sub-second-precision", "fluentd-write-timeout",
    },
}  # fmt: skip
REMOTE = frozenset({"journald", "syslog", "gelf", "fluentd"})
"""Drivers that cannot be read back: they get a local cache beside them (dual logging)."""

DEFAULT_SIZE = 20 << 20
DEFAULT_COUNT = 5


def validate(driver: str, options: dict[str, str]) -> None:
    """Raises InvalidArgument for an unknown driver or option, or a value that is none."""
    known = OPTIONS.get(driver or "json-file")
    if known is None:
        raise errors.InvalidArgument(f"logger: no log driver named '{driver}' is registered")
    _validate_mode(options)
    allowed = known | _COMMON | (_CACHE if driver in REMOTE else frozenset())
    for name in options:
        if name not in allowed:
            raise errors.InvalidArgument(f"unknown log opt '{name}' for {driver or 'json-file'} log driver")
    for name in ("max-size", "cache-max-size"):
        size(options, name, 0)
    count(options, "max-file", DEFAULT_COUNT)
    for name in ("compress", "cache-disabled", "cache-compress"):
        flag(options, name, default=False)
    LogInfo().tag(options)
    _validate_patterns(options)
    _validate_driver(driver, options)


def _validate_patterns(options: dict[str, str]) -> None:
    import re  # 1 MB, which the shim does without

    for name in ("labels-regex", "env-regex"):
        try:
            re.compile(options.get(name, ""))
        except (re.error, RecursionError) as error:
            raise errors.InvalidArgument(f"invalid {name}: error parsing regexp: {error}") from None


def _validate_driver(driver: str, options: dict[str, str]) -> None:
    if driver == "syslog":
        from .syslog import validate_options
    elif driver == "gelf":
        from .gelf import validate_options
    elif driver == "fluentd":
        from .fluentd import validate_options
    else:
        return
    validate_options(options)


def _validate_mode(options: dict[str, str]) -> None:
    mode = options.get("mode", "blocking")
    if mode not in ("blocking", "non-blocking", ""):
        raise errors.InvalidArgument(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise errors.InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        size(options, "max-buffer-size", 0)


def size(options: dict[str, str], name: str, default: int, base: int = 1024) -> int:
    """Bytes of a human size (`10m`); `-1` is 0, no limit."""
    text = options.get(name)
    if text is None or text == "":
        return default
    if text == "-1":
        return 0
    return _read(lambda text: quantity.parse_bytes(text, base), text)


def count(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None or text == "":
        return default
    value = _read(quantity.parse_int, text)
    if value < 1:
        raise errors.InvalidArgument(f"{name} cannot be less than 1")
    return value


def flag(options: dict[str, str], name: str, *, default: bool) -> bool:
    text = options.get(name, "")
    if text == "":
        return default
    return bool(_read(quantity.parse_bool, text))


def _read(parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise errors.InvalidArgument(str(error)) from None
