"""What lies inside an image's layers: names, sizes, and the few files that are asked for."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from typing import IO, cast

from msgspec import Struct, field

from ..cas.compression import Decompressed, ReadAhead
from ..errors import DataLoss
from .archive import Archive, ArchivedImage

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAX_KEPT = 64 << 20


class Entry(Struct, frozen=True):
    """One member of a layer; `path` without a leading slash, `size` in bytes of content."""

    path: str
    size: int
    kind: str
    """file, directory, link or other"""


class LayerContents(Struct):
    """One layer: what it adds, what it removes, and the directories whose lower content it hides."""

    name: str
    created_by: str = ""
    entries: list[Entry] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)


def read_layers(
    archive: Archive, image: ArchivedImage, commands: list[str], keep: Callable[[str], bool] = lambda path: False
) -> list[LayerContents]:
    """All layers, lowest first. Files for which `keep(path)` holds are read. Raises DataLoss for damaged layers."""
    found = []
    for position, name in enumerate(image.layers):
        layer = LayerContents(name, commands[position] if position < len(commands) else "")
        with ReadAhead(Decompressed(archive.open(name))) as stream:
            try:
                _read(cast("IO[bytes]", stream), layer, keep)
            except tarfile.TarError as error:
                raise DataLoss(f"layer {name}: {error}") from error
        found.append(layer)
    return found


def _read(stream: IO[bytes], layer: LayerContents, keep: Callable[[str], bool]) -> None:
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            path = member.name.strip("/").removeprefix("./")
            directory, _, base = path.rpartition("/")
            if base == _OPAQUE:
                layer.opaque.append(directory)
            elif base.startswith(_WHITEOUT):
                layer.removed.append(f"{directory}/{base[4:]}".lstrip("/"))
            elif path not in {"", "."}:
                layer.entries.append(Entry(path, member.size if member.isreg() else 0, _kind(member)))
                if member.isreg() and member.size <= _MAX_KEPT and keep(path):
                    content = tar.extractfile(member)
                    layer.kept[path] = content.read() if content else b""


def _kind(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "file"
    if member.isdir():
        return "directory"
    return "link" if member.issym() or member.islnk() else "other"


def flatten(layers: list[LayerContents]) -> dict[str, bytes]:
    """The kept files that are still there in the topmost view."""
    view: dict[str, bytes] = {}
    for layer in layers:
        for path in layer.removed:
            _drop(view, path, itself=True)
        for directory in layer.opaque:
            _drop(view, directory, itself=False)
        view.update(layer.kept)
    return view


def _drop(view: dict[str, bytes], path: str, *, itself: bool) -> None:
    if itself:
        view.pop(path, None)
    for name in [name for name in view if name.startswith(f"{path}/")]:
        del view[name]
