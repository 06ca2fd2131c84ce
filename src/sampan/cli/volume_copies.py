"""`volume copy/rename/snapshot/restore/export/import` (Sampan only)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .archives import chunks, source
from .command import CommandFailed, between, command, exactly
from .container_image import check_output, save_stream
from .flags import Options, boolean, string
from .terminal import is_terminal

if TYPE_CHECKING:
    from .session import Session


@command("VOLUME NEW_NAME", "Make a new volume with the options, labels and data of another", arity=exactly(2))
def copy(session: Session, options: Options, arguments: list[str]) -> int:
    session.say(session.client.volume_copy(*arguments)["Name"])
    return 0


@command("VOLUME NEW_NAME", "Rename a volume that no container has", arity=exactly(2))
def rename(session: Session, options: Options, arguments: list[str]) -> int:
    session.say(session.client.volume_rename(*arguments)["Name"])
    return 0


@command(
    "[OPTIONS] VOLUME [SNAPSHOT]",
    "Keep a volume's present state under a name; without one, list the snapshots",
    boolean("rm", "Remove the snapshot"),
    arity=between(1, 2),
)
def snapshot(session: Session, options: Options, arguments: list[str]) -> int:
    name, *rest = arguments
    if options["rm"] and not rest:
        raise CommandFailed("--rm needs the name of a snapshot")
    if not rest:
        for kept in session.client.volume_snapshots(name):
            session.say(kept)
        return 0
    act = session.client.volume_snapshot_remove if options["rm"] else session.client.volume_snapshot
    act(name, rest[0])
    session.say(rest[0])
    return 0


@command("VOLUME SNAPSHOT", "Put a volume back to a snapshot's state", arity=exactly(2))
def restore(session: Session, options: Options, arguments: list[str]) -> int:
    session.client.volume_restore(*arguments)
    session.say(arguments[0])
    return 0


@command(
    "[OPTIONS] VOLUME",
    "Write a volume's data as a tar archive (to STDOUT by default)",
    string("output", "Write to a file, instead of STDOUT", short="o"),
    arity=exactly(1),
)
def export(session: Session, options: Options, arguments: list[str]) -> int:
    check_output(options["output"], "failed to export volume")
    save_stream(session.client.volume_export(arguments[0]), options["output"])
    return 0


@command(
    "VOLUME [FILE|-]",
    "Unpack a tar archive (by default from STDIN) into a volume, which is made when it does not exist",
    arity=between(1, 2),
)
def import_volume(session: Session, options: Options, arguments: list[str]) -> int:
    path = "" if arguments[1:] in ([], ["-"]) else arguments[1]
    if not path and is_terminal(0):
        raise CommandFailed("requested import from stdin, but stdin is a terminal")
    with source(path) as file:
        session.client.volume_import(arguments[0], chunks(file))
    session.say(arguments[0])
    return 0
