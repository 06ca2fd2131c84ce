"""The same thing done to several arguments: go on after a failure, report all of them, fail at the end."""

from __future__ import annotations

from sampan.errors import SampanError

from .command import CommandFailed
from .main import describe
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def each(session: Session, names: Iterable[str], act: Callable[[str], object], echo: bool = True) -> int:
    """`echo` prints the name of every success. The failures are printed last, as Docker does."""
    failures = []
    for name in names:
        try:
            act(name)
        except SampanError as error:
            failures.append(describe(error))
            continue
        if echo:
            session.say(name)
    if failures:
        raise CommandFailed("\n".join(failures))
    return 0


def confirm(session: Session, question: str) -> bool:
    """`[y/N]` on standard input; an end of input is a no."""
    import sys

    sys.stdout.write(question + " [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "y"
