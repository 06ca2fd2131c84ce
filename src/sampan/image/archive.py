"""Archives of images: docker-archive (`manifest.json`) and OCI layout (`index.json`) in one tar.

Reading wants a seekable file: Docker, podman, buildkit, skopeo and kaniko order the members differently, and layers
may be links to one another. Only offsets are taken from the tar; nothing of it is ever extracted by name.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..cas.compression import CHUNK, Decompressed, Readable, detect
from ..errors import DataLoss, InvalidArgument, NotFound
from ..linux.libc import punch_hole
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import platform as platforms
from ..oci import reference
from ..oci.manifest import Descriptor, Index, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference

if TYPE_CHECKING:
    from tarfile import TarFile

_MAX_MEMBERS = 100_000
_MAX_LINKS = 8
_GIVEN_BACK = 16 << 20


class _Item(Struct):
    """One entry of `manifest.json`."""

    config: str = msgspec.field(name="Config")
    layers: list[str] = msgspec.field(name="Layers")
    repo_tags: list[str] | None = msgspec.field(default=None, name="RepoTags")


class ArchivedImage(Struct, frozen=True):
    """One image of an archive. `layers` are member names, lowest first, `manifest` its bytes where it has one."""

    config: bytes
    layers: tuple[str, ...]
    names: tuple[Reference, ...] = ()
    manifest: bytes | None = None
    index: bytes | None = None
    """The index that it is one platform of."""
    variant: bool = False
    """It comes along with another platform that has the name."""


class Archive:
    """An archive in a seekable file, decompressed already (`decompress_archive`).

    Of a `disposable` file the layers are given back to the file system while they are read for the last time, so that
    they take no room beside what becomes of them, and are not written to the disk first.
    """

    def __init__(self, file: BinaryIO, *, disposable: bool = False) -> None:
        import tarfile  # 0.2 MB that a daemon without archives does not need

        self._file = file
        self._disposable = disposable
        self._uses: Counter[int] = Counter()
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        try:
            self._index(tarfile.open(fileobj=self._file, mode="r:"))
        except (tarfile.TarError, ValueError, ArithmeticError, RecursionError) as error:
            # tarfile lets the last three through for headers that are made to harm
            raise InvalidArgument(f"invalid archive: {error}") from error

    def _index(self, tar: TarFile) -> None:
        with tar:
            for count, member in enumerate(tar):
                if count > _MAX_MEMBERS:
                    raise InvalidArgument(f"archive has more than {_MAX_MEMBERS} members")
                name = posixpath.normpath("/" + member.name)
                if member.isreg():
                    self._members[name] = (member.offset_data, member.size)
                elif member.issym():
                    self._links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
                elif member.islnk():
                    self._links[name] = posixpath.normpath("/" + member.linkname)

    def _find(self, name: str) -> tuple[int, int] | None:
        path = posixpath.normpath("/" + name)
        for _ in range(_MAX_LINKS):
            if path not in self._links:
                break
            path = self._links[path]
        return self._members.get(path)

    def has(self, name: str) -> bool:
        """Whether the archive has a file of that name."""
        return self._find(name) is not None

    def size(self, name: str) -> int:
        """Size in bytes; raises InvalidArgument when there is none."""
        return self._place(name)[1]

    def _place(self, name: str) -> tuple[int, int]:
        place = self._find(name)
        if place is None:
            raise InvalidArgument(f"invalid archive: no file {name}")
        return place

    def open(self, name: str) -> Readable:
        """A reader of one file; any number at once."""
        return _Slice(self._file.fileno(), *self._place(name))

    def open_layer(self, name: str) -> Readable:
        """A reader of a layer, once for each time that `images` named it."""
        offset, size = self._place(name)
        self._uses[offset] -= 1
        if self._disposable and not self._uses[offset]:
            return _LastReading(self._file.fileno(), offset, size)
        return _Slice(self._file.fileno(), offset, size)

    def read(self, name: str, limit: int) -> bytes:
        """A small file; raises InvalidArgument when it is missing or larger than `limit`."""
        if self.size(name) > limit:
            raise InvalidArgument(f"invalid archive: {name} is larger than {limit} bytes")
        reader = self.open(name)
        return b"".join(iter(lambda: reader.read(CHUNK), b""))

    def images(self, wanted: Sequence[Platform] = ()) -> list[ArchivedImage]:
        """All images; of an index those for `wanted`, or that for this host after what else the archive has of it.

        Raises InvalidArgument, DataLoss.
        """
        found = self._images(wanted)
        if not wanted:
            found = [each for image in found for each in (*self._variants(image), image)]
        # Whoever writes an archive may leave out a layer that its reader has already (docker-squash does).
        places = (self._find(layer) for image in found for layer in image.layers)
        self._uses = Counter(place[0] for place in places if place is not None)
        return found

    def _images(self, wanted: Sequence[Platform]) -> list[ArchivedImage]:
        if self.has("index.json") and (wanted or not self.has("manifest.json")):
            found = [image for platform in wanted or (None,) for image in self._layout_images(platform)]
            # The first platform comes last, so that it has the name in the end.
            return found[::-1] if len(wanted) > 1 else found
        if self.has("manifest.json"):
            return [image for platform in wanted or (None,) for image in self._docker_images(platform)]
        raise InvalidArgument("invalid archive: does not contain a manifest.json or an index.json")

    def _variants(self, image: ArchivedImage) -> Iterator[ArchivedImage]:
        """The other platforms of an image's index that are in the archive whole."""
        index = manifests.parse(image.index) if image.index else None
        for entry in index.manifests if isinstance(index, Index) else ():
            if entry.media_type not in manifests.MANIFESTS or manifests.is_attestation(entry):
                continue
            document = self.manifest_of(entry)
            if document is not None and document[0] != image.manifest:
                yield replace(self._layout_image(entry, None), index=image.index, variant=True)

    def manifest_of(self, entry: Descriptor) -> tuple[bytes, Manifest] | None:
        """A manifest and its bytes, when it and all that it names are here."""
        if not self.has(digests.blob_path(entry.digest)):
            return None
        data, document = self._manifest(entry)
        if isinstance(document, Manifest) and all(
            self.has(digests.blob_path(part.digest)) for part in (document.config, *document.layers)
        ):
            return data, document
        return None

    def open_blob(self, digest: str) -> Readable:
        """A reader of one blob of an OCI layout."""
        return self.open(digests.blob_path(digest))

    def _docker_images(self, wanted: Platform | None) -> list[ArchivedImage]:
        try:
            items = msgspec.json.decode(self.read("manifest.json", configs.MAX_CONFIG_SIZE), type=list[_Item])
        except msgspec.MsgspecError as error:
            raise InvalidArgument(f"invalid manifest.json: {error}") from error
        originals = self._manifests_by_config()
        return [self._docker_image(item, originals, wanted) for item in items]

    def _docker_image(
        self, item: _Item, originals: dict[str, tuple[bytes, bytes | None]], wanted: Platform | None
    ) -> ArchivedImage:
        config = self.read(item.config, configs.MAX_CONFIG_SIZE)
        check_platform(item.config, configs.parse(config).platform, wanted)
        names = tuple(reference.parse(tag).with_default_tag() for tag in item.repo_tags or ())
        manifest, index = originals.get(digests.of_bytes(config), (None, None))
        return ArchivedImage(config, tuple(item.layers), names, manifest, index)

    def _manifests_by_config(self) -> dict[str, tuple[bytes, bytes | None]]:
        """The OCI manifests of an archive that is both, and their indexes: with them digests survive. Plain-tar layers
        are compressed on loading, so their manifests are of no use."""
        found: dict[str, tuple[bytes, bytes | None]] = {}
        for descriptor in self._layout_index().manifests if self.has("index.json") else ():
            if descriptor.media_type not in manifests.MANIFESTS | manifests.INDEXES:
                continue
            if self.has(digests.blob_path(descriptor.digest)):
                self._note_originals(*self._manifest(descriptor), None, found)
        return found

    def _note_originals(
        self, data: bytes, document: Manifest | Index, index: bytes | None,
        found: dict[str, tuple[bytes, bytes | None]],
    ) -> None:  # fmt: skip
        if isinstance(document, Manifest):
            if _is_compressed(document):
                found[document.config.digest] = (data, index)
            return
        for entry in document.manifests:
            if entry.media_type in manifests.MANIFESTS and (member := self.manifest_of(entry)) is not None:
                self._note_originals(*member, data, found)

    def _layout_index(self) -> Index:
        document = manifests.parse(self.read("index.json", manifests.MAX_MANIFEST_SIZE), manifests.OCI_INDEX)
        if not isinstance(document, Index):
            raise InvalidArgument("invalid archive: index.json is no index")
        return document

    def _layout_images(self, wanted: Platform | None) -> list[ArchivedImage]:
        found: dict[str, ArchivedImage] = {}
        for descriptor in choose_by_name(self._layout_index(), wanted):
            image = self._layout_image(descriptor, wanted)
            key = digests.of_bytes(image.config)
            names = (found[key].names if key in found else ()) + _names(descriptor)
            found[key] = replace(image, names=names)
        return list(found.values())

    def _layout_image(self, descriptor: Descriptor, wanted: Platform | None) -> ArchivedImage:
        data, document = self._manifest(descriptor)
        index = None
        while isinstance(document, Index):
            index = data
            data, document = self._manifest(choose(document, wanted))
        config = self._verified(document.config, configs.MAX_CONFIG_SIZE)
        layers = tuple(digests.blob_path(layer.digest) for layer in document.layers)
        if not _is_compressed(document):
            return ArchivedImage(config, layers)  # its layers will be compressed: neither digest can be kept
        check_platform(descriptor.digest, configs.parse(config).platform, wanted)
        return ArchivedImage(config, layers, (), data, index)

    def _manifest(self, descriptor: Descriptor) -> tuple[bytes, Manifest | Index]:
        data = self._verified(descriptor, manifests.MAX_MANIFEST_SIZE)
        return data, manifests.parse(data, descriptor.media_type)

    def _verified(self, descriptor: Descriptor, limit: int) -> bytes:
        data = self.read(digests.blob_path(descriptor.digest), limit)
        if digests.of_bytes(data) != descriptor.digest:
            raise DataLoss(f"blob {descriptor.digest} is damaged")
        return data


class _Slice:
    """A part of a file, read with pread so that several threads may."""

    def __init__(self, handle: int, offset: int, size: int) -> None:
        self._handle, self._offset, self._end = handle, offset, offset + size

    def read(self, size: int = CHUNK) -> bytes:
        data = os.pread(self._handle, min(size, self._end - self._offset), self._offset)
        self._offset += len(data)
        return data


class _LastReading(_Slice):
    """Gives the file back behind itself."""

    def __init__(self, handle: int, offset: int, size: int) -> None:
        super().__init__(handle, offset, size)
        self._given = offset

    def read(self, size: int = CHUNK) -> bytes:
        if self._offset - self._given >= _GIVEN_BACK or self._offset == self._end:
            self._give_back()
        return super().read(size)

    def _give_back(self) -> None:
        try:
            punch_hole(self._handle, self._given, self._offset - self._given)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # EINVAL: nothing is left of it
                raise
        self._given = self._offset


def decompress_archive(source: BinaryIO, target: BinaryIO) -> bool:
    """Archives may be compressed as a whole; whether `target` now holds the plain tar."""
    if not detect(source.read(6)):
        source.seek(0)
        return False
    source.seek(0)
    reader = Decompressed(source)
    while chunk := reader.read(CHUNK):
        target.write(chunk)
    target.flush()
    return True


def _is_compressed(document: Manifest) -> bool:
    return all(layer.media_type not in manifests.UNCOMPRESSED_LAYERS for layer in document.layers)


def _names(descriptor: Descriptor) -> tuple[Reference, ...]:
    annotations = descriptor.annotations or {}
    text = annotations.get("io.containerd.image.name") or annotations.get("org.opencontainers.image.ref.name", "")
    if ":" not in text:
        return ()  # a bare tag names no repository
    try:
        return (reference.parse(text).with_default_tag(),)
    except InvalidArgument:
        return ()  # layouts may use any text as a name


def choose_by_name(index: Index, wanted: Platform | None) -> list[Descriptor]:
    """The images of a layout: every named entry, and of unnamed ones the one for the platform."""
    images = [entry for entry in index.manifests if entry.media_type in manifests.MANIFESTS | manifests.INDEXES]
    named = [entry for entry in images if entry.annotations and _names(entry)]
    by_platform = [entry for entry in images if entry.platform is not None]
    if len(images) > 1 and len(by_platform) == len(images) and len({_names(entry) for entry in images}) == 1:
        return [choose(index, wanted)]
    return named or images


def choose(index: Index, wanted: Platform | None) -> Descriptor:
    """The manifest of an index for a platform: exactly `wanted`, or the best for this host. Raises NotFound."""
    target = wanted or platforms.detected()
    ranked = []
    for position, entry in enumerate(index.manifests):
        if entry.platform is None or entry.media_type not in manifests.MANIFESTS | manifests.INDEXES:
            continue
        if manifests.is_attestation(entry):
            continue
        rank = platforms.rank(target, entry.platform, strict=wanted is not None)
        if rank is not None:
            ranked.append((rank, position, entry))
    if ranked:
        return min(ranked, key=lambda choice: choice[:2])[2]
    plain = [entry for entry in index.manifests if entry.platform is None and entry.media_type in manifests.MANIFESTS]
    if len(plain) == 1 and wanted is None:
        return plain[0]
    raise NotFound(f"no matching manifest for {wanted or platforms.host()} in the manifest list entries")


def check_platform(name: str, actual: Platform, wanted: Platform | None) -> None:
    """Raise NotFound in Docker's words when an image is not for the platform that was asked for."""
    if wanted is not None and platforms.rank(wanted, actual, strict=True) is None:
        raise NotFound(f"image with reference {name} was found but does not provide the specified platform ({wanted})")
