"""`load`, `save` and `import`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from . import reference
from .command import CommandFailed, at_least, between, command
from .container_image import check_output, save_stream
from .flags import Options, boolean, many, string, strings
from .progress import display
from .pull import platform_objects
from .terminal import is_terminal

if TYPE_CHECKING:
    from .session import Session

CHUNK = 1 << 20


def chunks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data


@contextmanager
def source(path: str) -> Iterator[BinaryIO]:
    """A file, or standard input for an empty path."""
    if not path:
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")
    except OSError as error:
        raise CommandFailed(f"open {path}: {str(error.strerror).lower()}") from error
    with file:
        yield file


@command(
    "[OPTIONS]",
    "Load an image from a tar archive or STDIN",
    string("input", "Read from tar archive file, instead of STDIN", short="i"),
    strings(
        "platform", 'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'
    ),
    boolean("quiet", "Suppress the load output", short="q"),
)
def load(session: Session, options: Options, arguments: list[str]) -> int:
    if not options["input"] and is_terminal(0):
        raise CommandFailed("requested load from stdin, but stdin is empty")
    quiet = options["quiet"] or not is_terminal(1)
    with source(options["input"]) as file:
        messages = session.client.image_load(chunks(file), quiet, platform_objects(options["platform"]))
        display(messages, sys.stdout)
    return 0


@command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    string("output", "Write to a file, instead of STDOUT", short="o"),
    strings(
        "platform", 'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'
    ),
    arity=at_least(1),
)
def save(session: Session, options: Options, arguments: list[str]) -> int:
    check_output(options["output"], "failed to save image")
    save_stream(session.client.image_save(arguments, platform_objects(options["platform"])), options["output"])
    return 0


@command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    many("change", "Apply Dockerfile instruction to the created image", short="c"),
    string("message", "Set commit message for imported image", short="m"),
    string("platform", "Set platform if server is multi-platform capable"),
    arity=between(1, 2),
)
def import_image(session: Session, options: Options, arguments: list[str]) -> int:
    name = arguments[0]
    repository, tag, _ = reference.split(arguments[1]) if len(arguments) > 1 else ("", "", "")
    is_url = name != "-" and not os.path.exists(name) and name.startswith(("http://", "https://", "ftp://"))
    with source("" if name == "-" or is_url else name) as file:
        messages = session.client.image_import(
            name if is_url else "-",
            None if is_url else chunks(file),
            repository or None,
            tag or None,
            options["message"] or None,
            options["change"],
            options["platform"] or None,
        )
        display(messages, sys.stdout)
    return 0
