"""`image explore`, `image sbom`, `image scan`, `image squash`: they read what `image save` gives."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

from msgspec import to_builtins

from .command import CommandFailed, command, exactly
from .flags import Options, boolean, string
from .terminal import is_terminal

if TYPE_CHECKING:
    from sampan.image.archive import Archive, ArchivedImage
    from sampan.image.explore import Report
    from sampan.image.packages import Inventory

    from .session import Session

_SHOWN_PATHS = 20


@contextmanager
def _archive(session: Session, name: str) -> Iterator[tuple[Archive, ArchivedImage]]:
    """The image, saved by the daemon into a file that goes away with us."""
    from sampan.image.archive import Archive

    with tempfile.TemporaryFile() as file:
        for chunk in session.client.image_save([name]):
            file.write(chunk)
        file.flush()
        file.seek(0)
        archive = Archive(file)
        yield archive, archive.images()[-1]


@command(
    "[OPTIONS] IMAGE",
    "Show what each layer of an image adds, and how many bytes it wastes",
    boolean("ci", "Exit with 1 when a threshold is not kept"),
    string("format", "Output: text or json", default="text"),
    string("lowest-efficiency", "With --ci: least share of bytes that are seen (0 to 1)", default="0.9"),
    string("highest-wasted-bytes", "With --ci: most wasted bytes (e.g. 20MB); empty for any", default=""),
    string("highest-wasted-share", "With --ci: highest share of wasted bytes (0 to 1)", default="0.1"),
    arity=exactly(1),
)
def explore(session: Session, options: Options, arguments: list[str]) -> int:
    from sampan.image.contents import read_layers
    from sampan.image.explore import explore as compare

    limits = _Thresholds(_share(options, "lowest-efficiency"), _bytes(options["highest-wasted-bytes"]),
                         _share(options, "highest-wasted-share"))  # fmt: skip
    if options["format"] not in ("text", "json"):
        raise CommandFailed(f"sampan: unknown format {options['format']!r}: text or json is wanted")
    with _archive(session, arguments[0]) as (archive, image):
        layers = read_layers(archive, image, _commands(image.config))
    report = compare(layers)
    if options["format"] == "json":
        session.say(json.dumps(to_builtins(report), indent=2))
    elif options["ci"] or not (is_terminal(0) and is_terminal(1)):
        _show(session, to_builtins(report))
    else:
        from .explore_page import Page, show

        show(Page(arguments[0], layers, report))
    return _judge(session, report, limits) if options["ci"] else 0


class _Thresholds(NamedTuple):
    lowest_efficiency: float
    highest_wasted: int
    highest_share: float


def _judge(session: Session, report: Report, limits: _Thresholds) -> int:
    from sampan.image.explore import failures

    found = failures(report, *limits)
    for text in found:
        session.warn(text)
    return 1 if found else 0


def _share(options: Options, name: str) -> float:
    try:
        value = float(options[name])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise CommandFailed(f"sampan: --{name} wants a share from 0 to 1, not {options[name]!r}")
    return value


def _bytes(text: str) -> int:
    from ..model.quantity import parse_bytes

    try:
        return parse_bytes(text) if text else 0
    except ValueError as error:
        raise CommandFailed(f"sampan: --highest-wasted-bytes: {error}") from error


def _commands(config: bytes) -> list[str]:
    history = json.loads(config).get("history") or []
    return [entry.get("created_by") or entry.get("comment", "") for entry in history if not entry.get("empty_layer")]


def _show(session: Session, report: dict) -> None:  # type: ignore[type-arg] # a JSON document
    session.say(f"{'SIZE':>12} {'ADDED':>7} {'CHANGED':>7} {'REMOVED':>7}  COMMAND")
    for layer in report["layers"]:
        numbers = f"{layer['size']:>12} {layer['added']:>7} {layer['changed']:>7} {layer['removed']:>7}"
        session.say(f"{numbers}  {layer['command'][:60]}")
    session.say(f"\nsize {report['size']}, wasted {report['wasted']}, efficiency {report['efficiency']:.2%}")
    for entry in report["wasted_paths"][:_SHOWN_PATHS]:
        if entry["bytes"]:
            session.say(f"{entry['bytes']:>12}  {entry['count']} times  /{entry['path']}")


def _inventory(session: Session, name: str) -> tuple[Inventory, str]:
    from sampan.image.contents import flatten, read_layers
    from sampan.image.packages import inventory, is_record
    from sampan.oci.digest import of_bytes

    with _archive(session, name) as (archive, image):
        return inventory(flatten(read_layers(archive, image, [], is_record))), of_bytes(image.config)


@command(
    "[OPTIONS] IMAGE",
    "List the packages in an image (dpkg, apk, pip, npm) as a bill of material",
    string("format", "spdx or cyclonedx", default="spdx"),
    arity=exactly(1),
)
def sbom(session: Session, options: Options, arguments: list[str]) -> int:
    from datetime import UTC, datetime

    from sampan.image.sbom import cyclonedx, spdx

    makers = {"spdx": spdx, "cyclonedx": cyclonedx}
    if options["format"] not in makers:
        raise CommandFailed(f"sampan: unknown format {options['format']!r}: spdx or cyclonedx is wanted")
    found, digest = _inventory(session, arguments[0])
    created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    session.say(json.dumps(makers[options["format"]](found, arguments[0], digest, created), indent=2))
    return 0


@command(
    "[OPTIONS] IMAGE",
    "Match the packages in an image with a vulnerability database that you bring",
    string("db", "Directory or zip file of OSV records"),
    string("format", "Output: text or json", default="text"),
    boolean("fail", "Exit with 1 when anything is found"),
    arity=exactly(1),
)
def scan(session: Session, options: Options, arguments: list[str]) -> int:
    from sampan.image.scan import records
    from sampan.image.scan import scan as match

    if not options["db"]:
        raise CommandFailed("sampan: --db is needed: nothing is fetched by itself")
    inventory, _ = _inventory(session, arguments[0])
    try:
        findings = match(inventory, records(options["db"]))
    except OSError as error:
        raise CommandFailed(f"sampan: {options['db']}: {error.strerror}") from error
    if options["format"] == "json":
        session.say(json.dumps([to_builtins(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            mended = finding.fixed or "not fixed"
            session.say(f"{finding.id:<22} {finding.package} {finding.version} ({mended}) {finding.summary[:60]}")
        session.say(f"{len(inventory.packages)} packages, {len(findings)} findings")
    return 1 if findings and options["fail"] else 0


@command(
    "[OPTIONS] IMAGE",
    "Make one layer of all the layers of an image",
    string("tag", "Name of the new image", short="t"),
    arity=exactly(1),
)
def squash(session: Session, options: Options, arguments: list[str]) -> int:
    from sampan.image.squash import squash as merge

    from .progress import display

    names = [options["tag"]] if options["tag"] else []
    with (
        _archive(session, arguments[0]) as (archive, image),
        tempfile.TemporaryFile() as scratch,
        tempfile.TemporaryFile() as target,
    ):
        merge(archive, image, names, target, scratch)
        target.seek(0)
        display(session.client.image_load(_chunks(target)), sys.stdout)
    return 0


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(1 << 20):
        yield chunk
