"""The functions of `--format` templates: Go's own and those that Docker adds."""

from __future__ import annotations

import json
import re

from .template_values import Fields, NoValue, TemplateError, TypedNull, go_text, truth, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERB = re.compile(r"%([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?([a-zA-Z%])")


def plain(value: Any) -> Any:
    """What `json` writes for a value."""
    if isinstance(value, Fields):
        return value.plain()
    return None if isinstance(value, (NoValue, TypedNull)) else value


HTML_IN_JSON = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def to_json(value: Any) -> str:
    """Compact; rows of a listing with the escapes of Go's default encoder, as Docker prints them."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    return text.translate(HTML_IN_JSON) if isinstance(value, Fields) else text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"wrong type for value; expected string; got {type_name(value)}")
    return value


def join(items: Any, separator: str) -> str:
    return separator.join(_text(item) for item in items or ())


def split(text: str, separator: str) -> list[str]:
    return list(_text(text)) if separator == "" else _text(text).split(separator)


def title(text: str) -> str:
    """The first letter of every word in upper case, the rest as it is."""
    return re.sub(r"(^|\s)(\S)", lambda match: match[1] + match[2].upper(), _text(text))


def pad(text: str, before: int, after: int) -> str:
    return " " * before + _text(text) + " " * after if text else text


def truncate(text: str, length: int) -> str:
    return _text(text)[:length]


def length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if value is None or isinstance(value, TypedNull):
        return 0
    if not isinstance(value, (list, dict, tuple)):
        raise TemplateError(f"len of type {type_name(value)}")
    return len(value)


def index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = _index_one(value, key)
    return value


def _index_one(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        if not isinstance(key, str):
            raise TemplateError(f"value has type {type_name(key)}; should be string")
        return value.get(key, "" if not any(isinstance(item, (dict, list)) for item in value.values()) else None)
    if isinstance(value, (list, str)):
        if isinstance(key, bool) or not isinstance(key, int):
            raise TemplateError(f"cannot index slice/array with type {type_name(key)}")
        if not 0 <= key < len(value):
            raise TemplateError(f"index out of range: {key}")
        return ord(value[key]) if isinstance(value, str) else value[key]
    if isinstance(value, TypedNull):
        return ""
    raise TemplateError("index of untyped nil" if value is None else f"can't index item of type {type_name(value)}")


def slice_(value: Any, *bounds: int) -> Any:
    start, end = (*bounds, *(0, len(value))[len(bounds) :])[:2]
    if not 0 <= start <= end <= len(value):
        raise TemplateError(f"index out of range: {end}")
    return value[start:end]


def equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TemplateError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, bool) != isinstance(second, bool) or isinstance(first, str) != isinstance(second, str):
        if first is None or second is None:
            return False
        raise TemplateError("incompatible types for comparison")
    return bool(first == second)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(first: Any, second: Any) -> bool:
        _same(first, second)
        if isinstance(first, (bool, list, dict)) or first is None:
            raise TemplateError("invalid type for comparison")
        return compare(first, second)

    return run


def print_(*values: Any) -> str:
    """Spaces stand between operands when neither is a string."""
    out = ""
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            out += " "
        out += go_text(value, True)
    return out


def println(*values: Any) -> str:
    return " ".join(go_text(value, True) for value in values) + "\n"


def printf(pattern: str, *values: Any) -> str:
    left = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        width, precision = (str(left.pop(0)) if part == "*" and left else part for part in (width, precision))
        if not left:
            return f"%!{verb}(MISSING)"
        return _formatted(flags, width or "", precision, verb, left.pop(0))

    text = VERB.sub(replace, _text(pattern))
    extra = ", ".join(f"{type_name(value)}={go_text(value, True)}" for value in left)
    return text + (f"%!(EXTRA {extra})" if extra else "")


def _formatted(flags: str, width: str, precision: str | None, verb: str, value: Any) -> str:
    text = _verb(verb, precision, value, "#" in flags)
    if "+" in flags and verb == "d" and not text.startswith("-"):
        text = "+" + text
    if not width:
        return text
    if "-" in flags:
        return text.ljust(int(width))
    if "0" in flags and verb in "dxXfob":
        return text.zfill(int(width))
    return text.rjust(int(width))


def _verb(verb: str, precision: str | None, value: Any, alternate: bool) -> str:
    if verb in "vs":
        text = go_text(value, True)
        return text[: int(precision)] if precision and verb == "s" else text
    if verb == "q":
        return json.dumps(go_text(value, True), ensure_ascii=False)
    if verb == "t" and isinstance(value, bool):
        return go_text(value)
    if verb == "T":
        return type_name(value)
    if verb in "xX" and isinstance(value, str):
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    if verb in "dxXobc" and isinstance(value, int) and not isinstance(value, bool):
        return format(value, ("#" if alternate else "") + verb)
    if verb in "feEgG" and isinstance(value, (int, float)):
        return format(float(value), f".{precision or 6}{verb}" if verb != "g" or precision else "g")
    return f"%!{verb}({type_name(value)}={go_text(value, True)})"


HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}


def html(*values: Any) -> str:
    return "".join(HTML.get(character, character) for character in print_(*values))


def urlquery(*values: Any) -> str:
    from urllib.parse import quote_plus

    return quote_plus(print_(*values))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": to_json,
    "split": split,
    "join": join,
    "title": title,
    "lower": lambda text: _text(text).lower(),
    "upper": lambda text: _text(text).upper(),
    "pad": pad,
    "truncate": truncate,
    "len": length,
    "index": index,
    "slice": slice_,
    "not": lambda value: not truth(value),
    "eq": equal,
    "ne": lambda first, second: not _same(first, second),
    "lt": _ordered(lambda a, b: bool(a < b)),
    "le": _ordered(lambda a, b: bool(a <= b)),
    "gt": _ordered(lambda a, b: bool(a > b)),
    "ge": _ordered(lambda a, b: bool(a >= b)),
    "print": print_,
    "printf": printf,
    "println": println,
    "html": html,
    "urlquery": urlquery,
}
