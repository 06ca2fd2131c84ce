"""`commit`, `diff` and `export`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import reference
from .command import CommandFailed, between, command, exactly
from .flags import Options, boolean, many, string
from .terminal import is_terminal, write_all

if TYPE_CHECKING:
    from .session import Session

KINDS = {0: "C", 1: "A", 2: "D"}


@command(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    string("author", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', short="a"),
    many("change", "Apply Dockerfile instruction to the created image", short="c"),
    string("message", "Commit message", short="m"),
    boolean("pause", "Pause container during commit", short="p", default=True),
    arity=between(1, 2),
)
def commit(session: Session, options: Options, arguments: list[str]) -> int:
    repository, tag, _ = reference.split(arguments[1]) if len(arguments) > 1 else ("", "", "")
    created = session.client.container_commit(
        {},
        container=arguments[0],
        repo=repository or None,
        tag=(tag or reference.DEFAULT_TAG) if repository else None,
        comment=options["message"] or None,
        author=options["author"] or None,
        changes=options["change"],
        pause=None if options["pause"] else "0",
    )
    session.say(created["Id"])
    return 0


@command("CONTAINER", "Inspect changes to files or directories on a container's filesystem", arity=exactly(1))
def diff(session: Session, options: Options, arguments: list[str]) -> int:
    for change in session.client.container_changes(arguments[0]) or ():
        session.say(f"{KINDS[change['Kind']]} {change['Path']}")
    return 0


@command(
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    string("output", "Write to a file, instead of STDOUT", short="o"),
    arity=exactly(1),
)
def export(session: Session, options: Options, arguments: list[str]) -> int:
    check_output(options["output"], "failed to export container")
    save_stream(session.client.container_export(arguments[0]), options["output"])
    return 0


def check_output(path: str, what: str) -> None:
    """Archives do not go to terminals, nor to places that cannot hold them."""
    if not path:
        if is_terminal(1):
            raise CommandFailed("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        return
    directory = os.path.dirname(path)
    if directory and not os.path.isdir(directory):
        raise CommandFailed(f'{what}: invalid output path: directory "{directory}" does not exist')


def save_stream(chunks: Iterable[bytes], path: str) -> None:
    """To standard output, or to a file that appears only when it is complete."""
    if not path:
        for chunk in chunks:
            write_all(1, chunk)
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(temporary, path)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
