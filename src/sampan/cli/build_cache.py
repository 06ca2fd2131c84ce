"""`--cache-from` and `--cache-to`: what they say; local caches travel between the daemon and directories here."""

from __future__ import annotations

import json
import os
import re
import threading
from typing import TYPE_CHECKING

from .build_output import unpack
from .build_progress import aside
from .command import CommandFailed

if TYPE_CHECKING:
    from sampan.client.sync import Client, Hijacked

    from .build_progress import Outcome, View
    from .session import Session

Fields = dict[str, str]
_OF_LAYOUT = re.compile(r"index\.json|blobs/sha256/[0-9a-f]{64}")


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


def serve(client: Client, session: str, asked: Hijacked, caches: list[Fields]) -> threading.Thread:
    """Answer what the daemon asks for of local caches, until it ends the connection."""
    directories = {f"cache:{number}": directory for number, directory in local(caches, "src")}
    thread = threading.Thread(target=_serve, args=(client, session, asked, directories), daemon=True)
    thread.start()
    return thread


def _serve(client: Client, session: str, asked: Hijacked, directories: dict[str, str]) -> None:
    from sampan.errors import SampanError

    pending = b""
    with client:
        for chunk in asked.chunks():
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                question = json.loads(line)
                try:
                    _answer(client, session, question["Id"], directories.get(question["Context"], ""), question["Name"])
                except (SampanError, OSError):
                    continue  # the build says what has come of it


def _answer(client: Client, session: str, number: int, directory: str, name: str) -> None:
    """Nothing but what a layout consists of is ever given away."""
    from .archives import chunks

    try:
        if not directory or _OF_LAYOUT.fullmatch(name) is None:
            raise FileNotFoundError(name)
        file = open(os.path.join(directory, name), "rb")
    except OSError:
        client.build_no_file(session, number)
        return
    with file:
        client.build_file(session, number, chunks(file))


def write_caches(session: Session, caches: list[Fields], outcome: Outcome, view: View) -> None:
    """Fetch what `--cache-to type=local` asks for."""
    for number, (_, directory) in enumerate(local(caches, "dest")):
        if not outcome.delivery:
            raise CommandFailed("a local cache needs a daemon of Sampan's")
        with aside(view, "exporting cache to client directory") as begin:
            begin(f"writing {directory}")
            unpack(session.client.build_cache(outcome.delivery, number), directory)
