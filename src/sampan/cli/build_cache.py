"""`--cache-from` and `--cache-to`: what they say; local caches travel between the daemon and directories here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sampan.dockerfile.ignore import IgnoreRules

from .build_output import unpack
from .build_progress import aside
from .build_sync import send
from .command import CommandFailed

if TYPE_CHECKING:
    from .build_progress import Outcome, View
    from .session import Session

Fields = dict[str, str]


def parse_cache(text: str) -> Fields:
    """One flag: `type=…,key=value…`, or a reference alone, which means a registry."""
    if "=" not in text:
        return {"type": "registry", "ref": text}
    import csv

    found = {}
    for item in next(csv.reader([text])):
        key, equals, value = item.partition("=")
        if not equals:
            raise CommandFailed(f"invalid value {item}: expected key=value")
        found[key.lower()] = value
    if "type" not in found:
        raise CommandFailed(f"type required in {text}")
    return found


def local(caches: list[Fields], key: str) -> list[tuple[int, str]]:
    """The local ones by their number, and their directories."""
    found = []
    for number, fields in enumerate(caches):
        if fields["type"] == "local":
            if not fields.get(key):
                raise CommandFailed(f"local cache requires {key}")
            found.append((number, fields[key]))
    return found


def send_caches(session: Session, identity: str, caches: list[Fields]) -> None:
    """Send the directories of local caches to a build session; one that is not there is sent as an empty one."""
    for number, directory in local(caches, "src"):
        if os.path.isdir(directory):
            send(session, identity, f"cache:{number}", directory, IgnoreRules([]), {})
        else:
            session.client.build_manifest(identity, f"cache:{number}", [])


def write_caches(session: Session, caches: list[Fields], outcome: Outcome, view: View) -> None:
    """Fetch what `--cache-to type=local` asks for."""
    for number, (_, directory) in enumerate(local(caches, "dest")):
        if not outcome.delivery:
            raise CommandFailed("a local cache needs a daemon of Sampan's")
        with aside(view, "exporting cache to client directory") as begin:
            begin(f"writing {directory}")
            unpack(session.client.build_cache(outcome.delivery, number), directory)
