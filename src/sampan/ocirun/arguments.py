"""Command lines in the manner of runc's: `--name value`, `--name=value`, `-n value`; argparse would cost 6 ms."""

from __future__ import annotations

from .failure import RuntimeFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FLAG, VALUE, LIST = "flag", "value", "list"


class Incorrect(RuntimeFailed):
    """The command line is not understood."""


class Arguments:
    """What a command line says; `rest` are the words behind the options."""

    __slots__ = ("given", "rest")

    def __init__(self, given: dict[str, list[str]], rest: list[str]) -> None:
        self.given = given
        self.rest = rest

    def flag(self, name: str) -> bool:
        """Whether a flag is on."""
        return self.given.get(name, ["false"])[-1] not in ("false", "0", "f", "F")

    def value(self, name: str, default: str = "") -> str:
        """The last value given."""
        return self.given.get(name, [default])[-1]

    def number(self, name: str, default: int = 0) -> int:
        """A whole number."""
        text = self.value(name)
        try:
            return int(text) if text else default
        except ValueError:
            raise Incorrect(f'invalid value "{text}" for flag -{name}') from None

    def values(self, name: str) -> list[str]:
        """All values given."""
        return self.given.get(name, [])


def parse(words: list[str], options: dict[str, str], short: dict[str, str] | None = None) -> Arguments:
    """Read options up to the first other word; `options`: name → FLAG, VALUE or LIST, `short`: letter → name."""
    given: dict[str, list[str]] = {}
    left = list(words)
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        if word == "--":
            break
        name, separator, value = word.lstrip("-").partition("=")
        name = (short or {}).get(name, name)
        if name not in options:
            raise Incorrect(f"flag provided but not defined: -{name}")
        if options[name] == FLAG:
            value = value if separator else "true"
        elif not separator:
            if not left:
                raise Incorrect(f"flag needs an argument: -{name}")
            value = left.pop(0)
        given.setdefault(name, []).append(value)
    return Arguments(given, left)


def table(*groups: tuple[str, Iterable[str]]) -> dict[str, str]:
    """An option table from (kind, names) pairs."""
    return {name: kind for kind, names in groups for name in names}
