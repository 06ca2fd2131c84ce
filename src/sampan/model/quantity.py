"""Numbers, truth values, sizes, CPUs, durations and ages as Go's strconv and go-units read and print them."""

from __future__ import annotations

from ..errors import InvalidArgument

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SUFFIXES = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


_TRUTHS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True)
_TRUTHS |= dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)


def parse_bool(text: str) -> bool:
    """Go's truth values; ValueError in strconv's words, as below where nothing else is said."""
    if text not in _TRUTHS:
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return _TRUTHS[text]


def parse_int(text: str, least: int = -(1 << 63), most: int = (1 << 63) - 1, function: str = "strconv.Atoi") -> int:
    """A whole number within bounds; Python's own `int` also takes other scripts' digits, and none of 4,300."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f'{function}: parsing "{text}": invalid syntax')
    value = int(digits.lstrip("0")[:20] or "0")
    value = -value if text[0] == "-" else value
    if not least <= value <= most:
        raise ValueError(f'{function}: parsing "{text}": value out of range')
    return value


def parse_bytes(text: str, base: int = 1024) -> int:
    """`512m`, `1.5GiB`, `1024`; powers of 1024, in few places of 1000."""
    end = max(text.rfind(character) for character in "0123456789. ") + 1
    number, suffix = text[:end].rstrip(" "), text[end:].lower()
    if not _is_number(number):
        raise ValueError(f"invalid size: '{text}'")
    unit = suffix.removesuffix("b").removesuffix("i") or "b"
    if unit not in _SUFFIXES:
        raise ValueError(f"invalid suffix: '{suffix}'")
    return _whole(float(number) * base ** _SUFFIXES[unit], text)


def parse_size(text: str) -> int:
    """The same for settings and options of volumes and layers: blanks around it do no harm, InvalidArgument else."""
    try:
        return parse_bytes(text.strip())
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def _whole(value: float, text: str) -> int:
    if not abs(value) < 1 << 63:
        raise ValueError(f"value out of range: '{text}'")
    return int(value)


def parse_swap(text: str) -> int:
    """The same, or `-1` for as much as there is."""
    return -1 if text == "-1" else parse_bytes(text)


def _is_number(text: str) -> bool:
    return bool(text) and text.replace(".", "", 1).isdigit() and not text.startswith(".")


def parse_cpus(text: str) -> int:
    """`1.5` CPUs in units of 10⁻⁹."""
    if text.startswith("-"):
        return -parse_cpus(text[1:])
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdigit():
        raise ValueError(f"failed to parse {text} as a rational number")
    if len(fraction.rstrip("0")) > 9:
        raise ValueError("value is too precise")
    return int(whole or "0") * 10**9 + int((fraction + "000000000")[:9])


def parse_duration(text: str) -> int:
    """Go's durations (`1h30m`, `1.5s`, `300ms`) in nanoseconds."""
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0
    total, rest = 0.0, body
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµmsh"))]
        rest = rest[len(unit) :]
        if not number or number.count(".") > 1 or number == ".":
            raise ValueError(f'time: invalid duration "{text}"')
        if unit not in _NANOSECONDS:
            raise ValueError(
                f'time: unknown unit "{unit}" in duration "{text}"'
                if unit
                else f'time: missing unit in duration "{text}"'
            )
        total += float(number) * _NANOSECONDS[unit]
    if not body:
        raise ValueError(f'time: invalid duration "{text}"')
    return _whole(-total if text.startswith("-") else total, text)


def _scaled(value: float, base: float, units: tuple[str, ...]) -> tuple[float, str]:
    index = 0
    while value >= base and index < len(units) - 1:
        value /= base
        index += 1
    return value, units[index]


_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def human_size(value: float, precision: int = 4) -> str:
    """`1.98MB`: powers of 1000."""
    number, unit = _scaled(float(value), 1000.0, _DECIMAL)
    return f"{go_float(number, precision)}{unit}"


def human_size3(value: float) -> str:
    """With three digits, as `images` and `ps --size` show it."""
    return human_size(value, 3)


def bytes_size(value: float) -> str:
    """`23.54GiB`: powers of 1024, four digits."""
    number, unit = _scaled(float(value), 1024.0, _BINARY)
    return f"{go_float(number, 4)}{unit}"


def go_float(number: float, precision: int) -> str:
    """Go's `%.<precision>g`."""
    text = f"{number:.{precision}g}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"
    return text


_AGES = (
    (1, "Less than a second", 0),
    (2, "1 second", 0),
    (60, "{} seconds", 1),
    (120, "About a minute", 0),
    (3600, "{} minutes", 60),
    (90 * 60, "About an hour", 0),
)


def human_duration(seconds: float) -> str:
    """`3 minutes`, `About an hour`, `2 weeks` as in go-units."""
    whole = max(int(seconds), 0)
    for limit, words, unit in _AGES:
        if whole < limit:
            return words.format(whole // unit if unit else "")
    hours = int(seconds / 3600 + 0.5)
    for limit, divisor, name in (
        (48, 1, "hours"),
        (24 * 7 * 2, 24, "days"),
        (24 * 30 * 2, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // divisor} {name}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def go_duration(nanoseconds: int) -> str:
    """`1m30s`, as Go prints a duration."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    value = abs(nanoseconds)
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if value < size * 1000:
            return f"{sign}{_trim(value / size)}{unit}"
    hours, rest = divmod(value, _NANOSECONDS["h"])
    minutes, rest = divmod(rest, _NANOSECONDS["m"])
    text = f"{_trim(rest / 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return sign + (f"{hours}h{text}" if hours else text)


def _trim(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
