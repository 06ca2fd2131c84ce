"""`--output`: what becomes of a build's result."""

from __future__ import annotations

import csv
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from .command import CommandFailed

if TYPE_CHECKING:
    from .session import Session

TYPES = ("image", "docker", "local", "tar", "oci", "registry", "cacheonly")


class Output:
    """`dest` is a directory for `local`, a file for archives, `-` for standard output."""

    def __init__(self, kind: str, dest: str, push: bool) -> None:
        self.kind, self.dest, self.push = kind, dest, push


def parse_output(text: str) -> Output:
    """One flag: `type=…,dest=…`, or a path alone (a directory, `-` for a tar archive)."""
    if "=" not in text:
        return Output("tar", "-", False) if text == "-" else Output("local", text, False)
    fields = dict(item.partition("=")[::2] for item in next(csv.reader([text])))
    kind = fields.get("type", "")
    if kind not in TYPES:
        raise CommandFailed(f"invalid output type {kind!r}: one of {', '.join(TYPES)} is wanted")
    dest = fields.get("dest") or fields.get("destination") or ""
    if kind == "local" and not dest:
        raise CommandFailed("dest is required for local output")
    if kind in ("tar", "oci") and not dest:
        dest = "-"
    return Output(kind, dest, kind == "registry" or fields.get("push") == "true")


def write_output(session: Session, image: str, output: Output, tags: list[str]) -> None:
    """Write one output; an image stays in the daemon anyway."""
    if output.kind == "local":
        _unpack(session, image, output.dest)
    elif output.kind == "tar":
        _stream(session.client.image_tree(image), output.dest)
    elif output.kind == "oci" or (output.kind == "docker" and output.dest):
        _stream(session.client.image_save(tags or [image]), output.dest)


def _stream(chunks: object, dest: str) -> None:
    with ExitStack() as stack:
        out: BinaryIO = sys.stdout.buffer
        if dest == "-":
            if sys.stdout.isatty():
                raise CommandFailed("dest file is required for an archive: refusing to write it to a terminal")
        else:
            out = stack.enter_context(open(dest, "wb"))
        for chunk in chunks:  # type: ignore[attr-defined] # an iterator of bytes
            out.write(chunk)
        out.flush()


def _unpack(session: Session, image: str, dest: str) -> None:
    from sampan.tree.extract import ExtractOptions, extract

    os.makedirs(dest, exist_ok=True)
    root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = None if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        extract(root, _Pieces(session.client.image_tree(image)), ExtractOptions(owner=owner))
    finally:
        os.close(root)


class _Pieces:
    """An iterator of bytes to be read like a file."""

    def __init__(self, pieces: object) -> None:
        self._pieces = iter(pieces)  # type: ignore[call-overload] # an iterator of bytes
        self._left = b""

    def read(self, size: int, /) -> bytes:
        if not self._left:
            self._left = next(self._pieces, b"")
        data, self._left = self._left[:size], self._left[size:]
        return data


def push_tags(session: Session, tags: list[str]) -> None:
    """Push every tag."""
    if not tags:
        raise CommandFailed("tag is needed when pushing to registry")
    from . import credentials, reference
    from .progress import display

    for tag in tags:
        repository, name, _ = reference.split(reference.with_default_tag(tag))
        auth = credentials.registry_auth(session, repository)
        display(session.client.image_push(repository, name, auth=auth), sys.stderr)
