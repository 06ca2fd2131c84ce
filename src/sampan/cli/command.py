"""What a command is: its words, its flags and the function that does it."""

from __future__ import annotations

from .flags import Flag, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .session import Session

    Run = Callable[["Session", Options, "list[str]"], "int | None"]


class CommandFailed(Exception):
    """Ends the command with `status`; the text, if any, goes to standard error as it is."""

    def __init__(self, message: str = "", status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class ArityError(Exception):
    """The number of arguments is wrong; the text lacks only the command's name."""


class Arity:
    """How many positional arguments a command takes."""

    __slots__ = ("_check",)

    def __init__(self, check: Callable[[int], str | None]) -> None:
        self._check = check

    def verify(self, count: int) -> None:
        message = self._check(count)
        if message:
            raise ArityError(message)


def _arguments(count: int) -> str:
    return f"{count} argument" + ("" if count == 1 else "s")


NONE = Arity(lambda count: "accepts no arguments" if count else None)
ANY = Arity(lambda count: None)


def exactly(wanted: int) -> Arity:
    return Arity(lambda count: None if count == wanted else f"requires {_arguments(wanted)}")


def at_least(wanted: int) -> Arity:
    return Arity(lambda count: None if count >= wanted else f"requires at least {_arguments(wanted)}")


def at_most(wanted: int) -> Arity:
    return Arity(lambda count: None if count <= wanted else f"requires at most {_arguments(wanted)}")


def between(low: int, high: int) -> Arity:
    text = f"requires at least {low} and at most {_arguments(high)}"
    return Arity(lambda count: None if low <= count <= high else text)


class Command:
    """`usage` is what follows the name in the usage line, `long` the description in `--help`."""

    __slots__ = ("arity", "flags", "interspersed", "long", "run", "usage")

    def __init__(
        self, usage: str, long: str, arity: Arity, flags: Sequence[Flag], run: Run, interspersed: bool
    ) -> None:
        self.usage, self.long, self.arity, self.flags = usage, long, arity, flags
        self.run, self.interspersed = run, interspersed

    def use_line(self, name: str) -> str:
        return f"Usage:  sampan {name} {self.usage}".rstrip()


def command(
    usage: str, long: str, *flags: Flag, arity: Arity = NONE, interspersed: bool = True
) -> Callable[[Run], Command]:
    """Make a Command of a function `(session, options, arguments) -> exit status or None`."""

    def make(run: Run) -> Command:
        return Command(usage, long, arity, flags, run, interspersed)

    return make
