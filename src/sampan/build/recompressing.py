"""Layers whose blobs are compressed in another way; what is unpacked, and so the image's configuration, stays."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from ..cas import Store
from ..cas.compression import CHUNK, Compressor, Decompressed
from ..cas.threads import run_in_thread
from ..image.layers import Layer
from ..oci.manifest import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from .imageform import ImageForm

_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD, "uncompressed": OCI_LAYER}


class _Encoder(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _encoder(form: ImageForm) -> _Encoder:
    if form.compression == "uncompressed":
        return _Plain()
    if form.compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=form.level or 3).compressobj()
    return Compressor() if form.level is None else zlib.compressobj(form.level, wbits=31)


async def recompressed(
    store: Store, layers: Sequence[Layer], below: int, form: ImageForm, stored: Callable[[str], object]
) -> tuple[Layer, ...]:
    """The layers as an image is to have them; the lowest `below` are another image's, and change only by force.

    `stored` gets the digest of each new blob, for who must remove it where no image comes of it.
    """
    found = []
    for number, layer in enumerate(layers):
        is_right = not form.compression or (
            layer.descriptor.media_type == _TYPES[form.compression] and form.level is None
        )  # fmt: skip
        if is_right or (number < below and not form.force):
            found.append(layer)
        else:
            descriptor = await run_in_thread(partial(_converted, store, layer, form, stored))
            found.append(replace(layer, descriptor=descriptor))
    return tuple(found)


def _converted(store: Store, layer: Layer, form: ImageForm, stored: Callable[[str], object]) -> Descriptor:
    encoder = _encoder(form)
    with store.open(layer.descriptor.digest) as blob, store.writer() as writer:
        source = Decompressed(blob)
        while chunk := source.read(CHUNK):
            writer.write(encoder.compress(chunk))
        writer.write(encoder.flush())
        digest, size = writer.commit()
        stored(digest)
    return Descriptor(_TYPES[form.compression], digest, size)
