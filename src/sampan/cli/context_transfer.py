"""`context export` and `import`: a context as a tar archive, `meta.json` and `tls/docker/*.pem`, as Docker does."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from .command import CommandFailed, between, command, exactly
from .context_store import ENDPOINT, TLS_FILES, ContextStore
from .contexts import check_new, default_meta

if TYPE_CHECKING:
    from .flags import Options
    from .session import Session

META = "meta.json"
TLS = f"tls/{ENDPOINT}/"
MAXIMUM = 10 << 20
"""Bytes of an archive that is read, as with Docker."""


@command(
    "[OPTIONS] CONTEXT [FILE|-]",
    "Export a context to a tar archive FILE or a tar stream on STDOUT.",
    arity=between(1, 2),
)
def export(session: Session, options: Options, arguments: list[str]) -> int:
    name, target = arguments[0], (arguments[1:] or [f"{arguments[0]}.dockercontext"])[0]
    archive = _packed(session, name)
    if target == "-":
        if sys.stdout.isatty():
            raise CommandFailed("cowardly refusing to export to a terminal, specify a file path")
        sys.stdout.buffer.write(archive)
        return 0
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandFailed(f"open {target}: file exists") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(archive)
    session.warn(f'Written file "{target}"')
    return 0


def _packed(session: Session, name: str) -> bytes:
    store = ContextStore(session.config.directory)
    meta = default_meta(session) if name == "default" else store.load(name)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, META, 0o644, json.dumps(meta, separators=(",", ":")).encode())
        _add(archive, "tls", 0o700)
        files = store.tls_files(name)
        if files:
            _add(archive, TLS.rstrip("/"), 0o700)
        for file, path in files.items():
            with open(path, "rb") as source:
                _add(archive, TLS + file, 0o600, source.read())
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, mode: int, content: bytes | None = None) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if content is None:
        entry.type = tarfile.DIRTYPE
    entry.size = len(content or b"")
    archive.addfile(entry, io.BytesIO(content or b""))


@command("CONTEXT FILE|-", "Import a context from a tar or zip file", arity=exactly(2))
def import_context(session: Session, options: Options, arguments: list[str]) -> int:
    name, source = arguments
    store = ContextStore(session.config.directory)
    check_new(store, name)
    meta, tls = _unpacked(_read(source))
    store.save(name, {**meta, "Name": name}, tls)
    session.say(name)
    session.warn(f'Successfully imported context "{name}"')
    return 0


def _read(source: str) -> bytes:
    try:
        with open(source, "rb") if source != "-" else sys.stdin.buffer as file:
            content = file.read(MAXIMUM + 1)
    except FileNotFoundError:
        raise CommandFailed(f"open {source}: no such file or directory") from None
    if len(content) > MAXIMUM:
        raise CommandFailed(f"read {source}: archive is larger than {MAXIMUM} bytes")
    return content


def _unpacked(archive: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Nothing but the known names is taken, so that no name leads out of the store."""
    meta, tls = None, {}
    for name, content in (_zipped if zipfile.is_zipfile(io.BytesIO(archive)) else _tarred)(io.BytesIO(archive)):
        if name == META:
            meta = json.loads(content)
        elif name.removeprefix(TLS) in TLS_FILES:
            tls[name.removeprefix(TLS)] = content
        else:
            raise CommandFailed(f"{name}: unexpected context file")
    if not isinstance(meta, dict):
        raise CommandFailed("invalid context: no metadata found")
    return meta, tls


def _tarred(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    file.seek(0, io.SEEK_END)
    file.write(bytes(tarfile.RECORDSIZE))  # Docker never closes its archive: the last block is cut short
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:*") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is not None:
                    yield entry.name, content.read()
    except tarfile.TarError as error:
        raise CommandFailed(f"invalid context archive: {error}") from error


def _zipped(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.file_size > MAXIMUM:
                raise CommandFailed(f"{entry.filename}: larger than {MAXIMUM} bytes")
            if not entry.is_dir():
                yield entry.filename, archive.read(entry)
