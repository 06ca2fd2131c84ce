"""Command line flags as Docker's users know them (pflag's rules): `-it`, `-n5`, `--all=false`, `--name x`, `--`.

click and argparse can do neither `--sig-proxy=false` nor Docker's messages, and cost 20 ms and 6 ms of start-up.
"""

from __future__ import annotations

from ..model import quantity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class FlagError(Exception):
    """A wrong flag; the text is pflag's."""


class Flag:
    """One option. `kind` names its parser and is what `--help` shows; a `usage` may carry its default in words.

    `read` makes the value of a text (ValueError says what is wrong with it); `into` is the flag that it is another
    name of.
    """

    __slots__ = ("default", "hidden", "into", "kind", "name", "read", "short", "usage")

    def __init__(self, name: str, short: str, kind: str, usage: str, default: Any, hidden: bool,
                 read: Callable[[str], Any] | None = None, into: str = "") -> None:  # fmt: skip
        self.name, self.short, self.kind, self.usage = name, short, kind, usage
        self.default, self.hidden = default, hidden
        self.read, self.into = read or READERS.get(kind, str), into or name


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _uint16(text: str) -> int:
    return quantity.parse_int(text, 0, 65535, "strconv.ParseUint")


PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": quantity.parse_bool,
    "string": str,
    "int": _integer,
    "uint16": _uint16,
    "decimal": quantity.parse_cpus,
    "bytes": quantity.parse_bytes,
    "duration": quantity.parse_duration,
}
"""Kinds with one value; every other kind is a list of texts."""


def _filter(text: str) -> str:
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


READERS: dict[str, Callable[[str], Any]] = {**PARSERS, "filter": _filter}


def _maker(kind: str, default: Any) -> Callable[..., Flag]:
    def make(name: str, usage: str, short: str = "", default: Any = default, hidden: bool = False,
             read: Callable[[str], Any] | None = None, into: str = "") -> Flag:  # fmt: skip
        return Flag(name, short, kind, usage, default, hidden, read, into)

    return make


boolean = _maker("bool", False)
string = _maker("string", "")
integer = _maker("int", 0)
uint16 = _maker("uint16", 0)
decimal = _maker("decimal", 0)
size = _maker("bytes", 0)
duration = _maker("duration", 0)
many = _maker("list", ())
strings = _maker("strings", ())
string_array = _maker("stringArray", ())
mapping = _maker("map", ())
filters = _maker("filter", ())


def typed(kind: str) -> Callable[..., Flag]:
    """A list flag whose kind has a name of its own in `--help` (mount, network, ulimit)."""
    return _maker(kind, ())


class Options:
    """Parsed flags: `options["name"]`; `changed` holds those that were given."""

    def __init__(self, flags: Iterable[Flag]) -> None:
        self.changed: set[str] = set()
        self._values: dict[str, Any] = {
            flag.name: flag.default if flag.kind in PARSERS else list(flag.default) for flag in flags
        }

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def given(self, name: str) -> Any:
        """The value, or None where the flag was not given."""
        return self._values[name] if name in self.changed else None

    def set(self, flag: Flag, text: str, shown: str) -> None:
        try:
            value = flag.read(text)
        except ValueError as error:
            raise FlagError(f'invalid argument "{text}" for "{shown}" flag: {error}') from None
        if flag.kind in PARSERS:
            self._values[flag.into] = value
        elif flag.kind == "strings":
            self._values[flag.into].extend(text.split(","))
        else:
            self._values[flag.into].append(value)
        self.changed.add(flag.into)


class Parser:
    """Parses one command's words. Without `interspersed` the first positional ends the flags (run, exec)."""

    def __init__(self, flags: Iterable[Flag], interspersed: bool = True) -> None:
        self._flags = list(flags)
        self._long = {flag.name: flag for flag in self._flags}
        self._short = {flag.short: flag for flag in self._flags if flag.short}
        self._interspersed = interspersed

    def parse(self, words: list[str]) -> tuple[Options, list[str]]:
        options = Options(self._flags)
        rest: list[str] = []
        position = 0
        while position < len(words):
            word = words[position]
            position += 1
            if word == "--":
                return options, rest + words[position:]
            if not word.startswith("-") or word == "-":
                if not self._interspersed:
                    return options, [word, *words[position:]]
                rest.append(word)
            elif word.startswith("--"):
                position += self._parse_long(word, words[position:], options)
            else:
                position += self._parse_short(word, words[position:], options)
        return options, rest

    def _parse_long(self, word: str, following: list[str], options: Options) -> int:
        """How many of the following words were taken."""
        name, equals, value = word[2:].partition("=")
        flag = self._long.get(name)
        if flag is None:
            raise FlagError(f"unknown flag: --{name}")
        shown = f"-{flag.short}, --{name}" if flag.short else f"--{name}"
        if equals:
            options.set(flag, value, shown)
        elif flag.kind == "bool":
            options.set(flag, "true", shown)
        elif not following:
            raise FlagError(f"flag needs an argument: --{name}")
        else:
            options.set(flag, following[0], shown)
            return 1
        return 0

    def _parse_short(self, word: str, following: list[str], options: Options) -> int:
        for index, letter in enumerate(word[1:], 1):
            flag = self._short.get(letter)
            if flag is None:
                raise FlagError(f"unknown shorthand flag: '{letter}' in -{word[index:]}")
            shown, rest = f"-{letter}, --{flag.name}", word[index + 1 :]
            if rest.startswith("="):
                options.set(flag, rest[1:], shown)
                return 0
            if flag.kind == "bool":
                options.set(flag, "true", shown)
                continue
            if rest:
                options.set(flag, rest, shown)
                return 0
            if not following:
                raise FlagError(f"flag needs an argument: '{letter}' in -{word[index:]}")
            options.set(flag, following[0], shown)
            return 1
        return 0
