"""Comma-separated `key=value` fields and `--env`, `--label` with their files, as Docker's client reads them."""

from __future__ import annotations

import os

from .command import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def fields(text: str) -> list[tuple[str, str, bool]]:
    """`a=b,c,"d=e,f"` as (key, value, has a value); quoting is CSV's (RFC 4180)."""
    found = []
    for field in split_csv(text):
        key, equals, value = field.partition("=")
        found.append((key, value, bool(equals)))
    return found


def split_csv(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    import csv

    return next(csv.reader([text], strict=True))


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """`key=value`; a key alone has an empty value."""
    found = {}
    for text in texts:
        key, _, value = text.partition("=")
        found[key] = value
    return found


def read_lines(path: str, what: str) -> list[str]:
    """Lines of an env or label file: no comments, no empty lines, leading blanks dropped."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise CommandFailed(f"open {path}: {str(error.strerror).lower()}") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{what} {path}: invalid utf8 bytes") from error
    kept = [line.lstrip() for line in lines]
    return [line for line in kept if line and not line.startswith("#")]


def environment(files: Iterable[str], given: Iterable[str]) -> list[str]:
    """Files first, so that flags win; a name alone takes its value from our own environment, or is dropped."""
    entries: list[str] = []
    for path in files:
        for line in read_lines(path, "env file"):
            name = line.partition("=")[0]
            if not name:
                raise _nameless(path, line)
            if not name.strip() or name != name.rstrip() or any(blank in name for blank in " \t"):
                raise CommandFailed(f"invalid env file ({path}): variable '{name}' contains whitespaces")
            entries.extend(_inherit(line, False))
    last = {text.partition("=")[0]: text for text in given}
    return entries + [entry for text in last.values() for entry in _inherit(text, True)]


def _nameless(path: str, line: str) -> CommandFailed:
    return CommandFailed(f"invalid env file ({path}): no variable name on line '{line}'")


def _inherit(entry: str, keep_bare: bool) -> list[str]:
    if "=" in entry:
        return [entry]
    value = os.environ.get(entry)
    if value is not None:
        return [f"{entry}={value}"]
    return [entry] if keep_bare else []


def labels(files: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    lines = []
    for path in files:
        for line in read_lines(path, "label file"):
            if line.startswith("="):
                raise _nameless(path, line)
            lines.append(line)
    return pairs([*lines, *given])
