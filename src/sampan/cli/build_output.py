"""`--output`: what becomes of a build's result."""

from __future__ import annotations

import csv
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from .build_progress import aside
from .command import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sampan.client.types import Progress

    from .build_progress import Outcome, View
    from .flags import Options
    from .session import Session

TYPES = ("image", "docker", "local", "tar", "oci", "registry", "cacheonly")
_EXPORTED = {
    "local": "client directory", "tar": "client tarball", "oci": "oci image format", "docker": "docker image format",
}  # fmt: skip
"""BuildKit's words for where a result goes."""
_OWN = frozenset({"type", "dest", "name", "push", "tar", "platform-split"})
"""Keys of an output that are not for the daemon."""


class Output:
    """`dest` is a directory for `local` (and for `tar=false`), a file for archives, `-` for standard output."""

    def __init__(
        self, kind: str, dest: str = "", *, push: bool = False, tar: bool = True, names: str = "", split: str = "",
        form: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.dest, self.push, self.tar, self.split = kind, dest, push, tar, split
        self.names = [name for name in names.split(",") if name]
        self.form = form or {}
        """Options of the image itself (build/imageform.py)."""

    @property
    def is_image(self) -> bool:
        """Whether it is an image, wherever it goes."""
        return self.kind not in ("local", "tar", "cacheonly")

    @property
    def listed(self) -> bool:
        """Whether the image stays with the daemon."""
        return self.kind in ("image", "registry") or (self.kind == "docker" and not self.dest)

    @property
    def fetched(self) -> bool:
        """Whether something comes from the daemon."""
        return not self.listed and self.kind != "cacheonly"


def wanted(options: Options) -> list[Output]:
    """All outputs that the flags ask for; without any the image stays with the daemon."""
    outputs = [parse_output(text) for text in options["output"]]
    if options["load"] and not any(output.listed for output in outputs):
        outputs.append(Output("docker"))
    if options["push"]:
        _add_push(outputs)
    outputs = outputs or [Output("image")]
    if options["iidfile"] and any(output.kind in ("local", "tar") for output in outputs):
        raise CommandFailed("local and tar exporters are incompatible with image ID file")
    tags = names(options["tag"], outputs)
    if any(output.push for output in outputs) and not tags:
        raise CommandFailed("tag is needed when pushing to registry")
    return outputs


def _add_push(outputs: list[Output]) -> None:
    for output in outputs:
        if output.kind in ("image", "registry"):
            output.push = True
            return
    if outputs:
        raise CommandFailed(f'push and "{outputs[0].kind}" output can\'t be used together')
    outputs.append(Output("image", push=True))


def names(tags: list[str], outputs: list[Output]) -> list[str]:
    """The tags, and the names that outputs bring."""
    return list(dict.fromkeys([*tags, *(name for output in outputs for name in output.names)]))


def parse_output(text: str) -> Output:
    """One flag: `type=…,dest=…`, or a path alone (a directory, `-` for a tar archive)."""
    if "=" not in text:
        return Output("tar", "-") if text == "-" else Output("local", text)
    fields = _fields(text)
    kind, dest = fields.get("type", ""), fields.get("dest", "")
    if kind not in TYPES:
        raise CommandFailed(f'ERROR: failed to build: failed to solve: exporter "{kind}" could not be found')
    tar = fields.get("tar", "true") != "false"
    if not dest and (kind == "local" or not tar):
        raise CommandFailed(f"ERROR: failed to build: dest is required for {kind} exporter")
    if kind in ("tar", "oci") and not dest:
        dest = "-"
    push = kind == "registry" or fields.get("push") == "true"
    form = {key: value for key, value in fields.items() if key not in _OWN}
    split = fields.get("platform-split", "")
    made = Output(kind, dest, push=push, tar=tar, names=fields.get("name", ""), split=split, form=form)
    if form and not made.is_image:
        raise CommandFailed(f"invalid output {text}: {kind} has no {min(form)}")
    if split and (kind != "local" or split not in ("true", "false")):
        raise CommandFailed(f"invalid output {text}: platform-split is true or false, of local output")
    return made


def _fields(text: str) -> dict[str, str]:
    found = {}
    for item in next(csv.reader([text])):
        key, equals, value = item.partition("=")
        if not equals:
            raise CommandFailed(f"invalid output {text}: invalid value {item}")
        found["dest" if key == "destination" else key] = value
    return found


def write_outputs(session: Session, outputs: list[Output], outcome: Outcome, tags: list[str], view: View) -> None:
    """Fetch and write all that does not stay with the daemon."""
    fetched = [output for output in outputs if output.fetched]
    if fetched and not outcome.delivery:
        raise CommandFailed(f"output of type {fetched[0].kind} needs a daemon of Sampan's")
    for output in fetched:
        if output.kind == "docker" and len(outcome.platforms) > 1:
            raise CommandFailed(
                "docker exporter does not support exporting manifest lists, use the oci exporter instead"
            )
        with aside(view, f"exporting to {_EXPORTED[output.kind]}") as begin:
            _write(session, output, outcome, tags, begin)


def _write(session: Session, output: Output, outcome: Outcome, tags: list[str], begin: Callable[[str], None]) -> None:
    client, delivery = session.client, outcome.delivery
    if output.kind == "local":
        several = len(outcome.platforms) > 1
        is_split = output.split == "true" if output.split else several
        for platform in outcome.platforms:
            directory = os.path.join(output.dest, platform.replace("/", "_")) if is_split else output.dest
            begin(f"copying files {platform}" if several else "copying files")
            unpack(client.build_tree(delivery, platform), directory)
        return
    if output.kind == "tar":
        begin("sending tarball")
        _stream(client.build_tree(delivery), output.dest)
        return
    for image in outcome.images:
        begin(f"exporting manifest {image['manifest']}")
        begin(f"exporting config {image['id']}")
    if outcome.index:
        begin(f"exporting manifest list {outcome.index}")
    begin("sending tarball")
    if output.tar:
        _stream(client.build_archive(delivery, tags), output.dest)
    else:
        unpack(client.build_archive(delivery, tags), output.dest)


def _stream(chunks: Iterator[bytes], dest: str) -> None:
    with ExitStack() as stack:
        out: BinaryIO = sys.stdout.buffer
        if dest == "-":
            if sys.stdout.isatty():
                raise CommandFailed("dest file is required for an archive: refusing to write it to a terminal")
        else:
            out = stack.enter_context(open(dest, "wb"))
        for chunk in chunks:
            out.write(chunk)
        out.flush()


def unpack(chunks: Iterator[bytes], dest: str) -> None:
    """Make a directory of a tar stream."""
    from sampan.tree.extract import ExtractOptions, extract

    os.makedirs(dest, exist_ok=True)
    root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = None if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        extract(root, _Pieces(chunks), ExtractOptions(owner=owner))
    finally:
        os.close(root)


class _Pieces:
    """An iterator of bytes to be read like a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int, /) -> bytes:
        if not self._left:
            self._left = next(self._pieces, b"")
        data, self._left = self._left[:size], self._left[size:]
        return data


def push_tags(session: Session, tags: list[str], view: View) -> str:
    """Push every tag; the digest that the registry has it under."""
    from . import credentials, reference
    from .progress import display

    digests: list[str] = []
    for tag in tags:
        repository, name, _ = reference.split(reference.with_default_tag(tag))
        auth = credentials.registry_auth(session, repository)
        with aside(view, f"pushing {reference.canonical(tag)} with docker") as begin:
            messages = session.client.image_push(repository, name, auth=auth)
            display(_told(messages, begin), None, lambda aux: digests.append(aux.get("Digest", "")))
    return digests[-1]


def _told(messages: Iterable[Progress], begin: Callable[[str], None]) -> Iterator[Progress]:
    """A push's messages, while each layer is told of once."""
    told: set[str] = set()
    for message in messages:
        layer = message.get("id", "")
        if layer and layer not in told and "progressDetail" in message:
            told.add(layer)
            begin(f"pushing layer {layer}")
        yield message
