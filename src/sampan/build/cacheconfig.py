"""BuildKit's formats of a build cache that travels (moby/buildkit, cache/remotecache/v1). No I/O.

    registry, local   an image manifest: the layers, and as its config a CacheConfig
    inline            the key `moby.buildkit.cache.v0` of an image's configuration: base64 of the records alone;
                      their layers are the image's

A record says which layers a step's result is. Its digest is our cache key; a step that takes files of other stages has
another record with its key by definition (definitions.py), whose one input is the first. BuildKit computes keys in
other ways, so that neither finds the other's steps; both read the other's documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from ..errors import InvalidArgument
from ..image.layers import Layer
from ..model.times import nanoseconds, rfc3339
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci.manifest import OCI_MANIFEST, Descriptor, Index, Manifest
from .result import Solved

T = TypeVar("T")

CONFIG_TYPE = "application/vnd.buildkit.cacheconfig.v0"
MAX_CONFIG = 64 << 20


@dataclass(frozen=True)
class CachedLayers:
    """What a step gave: (blob, diff ID) of each layer, lowest first; `made` in seconds since the epoch."""

    layers: tuple[tuple[Descriptor, str], ...]
    made: float
    definition: str = ""
    """Its key by definition."""

    def stands_on(self, below: Sequence[Layer]) -> bool:
        """Whether its lower layers are these."""
        return [diff_id for _, diff_id in self.layers[: len(below)]] == [layer.diff_id for layer in below]


class _Annotations(Struct, frozen=True, omit_defaults=True, rename="camel"):
    media_type: str = ""
    diff_id: str = field(default="", name="diffID")
    size: int = 0
    created_at: str = ""


class _Layer(Struct, frozen=True, omit_defaults=True):
    blob: str
    parent: int = 0
    annotations: _Annotations = _Annotations()


class _Reference(Struct, frozen=True):
    layer: int
    created: str = field(default="", name="createdAt")


class _Chain(Struct, frozen=True):
    layers: list[int] = []
    created: str = field(default="", name="createdAt")


class _Link(Struct, frozen=True):
    """Another record, by its number."""

    link: int = 0


class _Record(Struct, frozen=True, omit_defaults=True):
    digest: str = ""
    inputs: list[list[_Link]] = []
    layers: list[_Reference] = []
    chains: list[_Chain] = []


class _Config(Struct, frozen=True, omit_defaults=True):
    layers: list[_Layer] = []
    records: list[_Record] = []


@dataclass(frozen=True)
class Cache:
    """A cache to be sent: its documents, and the blobs that they name."""

    manifest: bytes
    config: bytes
    layers: tuple[Descriptor, ...]

    @property
    def config_descriptor(self) -> Descriptor:
        """What the manifest says of the config."""
        return Descriptor(CONFIG_TYPE, digests.of_bytes(self.config), len(self.config))


def compose(steps: Mapping[str, Solved]) -> Cache:
    """The documents for results by key."""
    numbers: dict[tuple[str, int], int] = {}
    layers: list[_Layer] = []
    blobs: dict[str, Descriptor] = {}
    records: list[_Record] = []
    for key, step in sorted(steps.items()):
        number = -1
        for layer in step.layers:
            place = (layer.descriptor.digest, number)
            if place not in numbers:
                numbers[place] = len(layers)
                layers.append(_layer(layer, number))
                blobs[layer.descriptor.digest] = layer.descriptor
            number = numbers[place]
        records += _records(key, step, number, len(records))
    config = msgspec.json.encode(_Config(layers, records))
    described = Descriptor(CONFIG_TYPE, digests.of_bytes(config), len(config))
    document = Manifest(2, described, list(blobs.values()), media_type=OCI_MANIFEST)
    return Cache(manifests.encode(document), config, tuple(blobs.values()))


def _layer(layer: Layer, parent: int) -> _Layer:
    descriptor = layer.descriptor
    return _Layer(descriptor.digest, parent, _Annotations(descriptor.media_type, layer.diff_id, descriptor.size))


def _records(key: str, step: Solved, layer: int, number: int) -> Iterator[_Record]:
    """A step's, the first of which has that number."""
    layers = [_Reference(layer, _time(step.made))]
    yield _Record(f"sha256:{key}", layers=layers)
    if step.definition:
        yield _Record(f"sha256:{step.definition}", [[_Link(number)]], layers)


def inline(steps: Mapping[str, Solved], image: Sequence[Layer]) -> bytes:
    """The records of those results that are the lower layers of an image."""
    chains = {layer.chain_id: number for number, layer in enumerate(image)}
    records: list[_Record] = []
    for key, step in sorted(steps.items()):
        if step.layers and step.layers[-1].chain_id in chains:
            records += _records(key, step, chains[step.layers[-1].chain_id], len(records))
    return msgspec.json.encode(records)


def parse(config: bytes) -> dict[str, CachedLayers]:
    """Results by key, from a CacheConfig."""
    document = _decode(config, _Config)
    return _results(document.records, [_chain(document.layers, number) for number in range(len(document.layers))])


def parse_inline(records: bytes, layers: Sequence[Descriptor], diff_ids: Sequence[str]) -> dict[str, CachedLayers]:
    """Results by key, from an image's configuration."""
    if len(layers) != len(diff_ids):
        raise InvalidArgument("layers from manifest don't match image configuration")
    pairs = tuple(zip(layers, diff_ids, strict=True))
    return _results(_decode(records, list[_Record]), [pairs[: number + 1] for number in range(len(pairs))])


def config_of(document: Manifest | Index) -> Descriptor | None:
    """Where a manifest, or an index as BuildKit wrote them before 0.21, has its CacheConfig."""
    parts = [document.config] if isinstance(document, Manifest) else document.manifests
    return next((part for part in parts if part.media_type == CONFIG_TYPE), None)


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"invalid cache config: {error}") from None


def _chain(layers: Sequence[_Layer], number: int) -> tuple[tuple[Descriptor, str], ...] | None:
    """A layer and all below it; None where that is not described."""
    found: list[tuple[Descriptor, str]] = []
    while number >= 0:
        if number >= len(layers) or len(found) > len(layers):
            return None
        layer, about = layers[number], layers[number].annotations
        if not digests.is_digest(layer.blob) or not digests.is_digest(about.diff_id):
            return None
        found.append((Descriptor(about.media_type or manifests.OCI_LAYER_GZIP, layer.blob, about.size), about.diff_id))
        number = layer.parent
    return tuple(reversed(found))


def _results(
    records: Sequence[_Record], chains: Sequence[tuple[tuple[Descriptor, str], ...] | None]
) -> dict[str, CachedLayers]:
    definitions = _definitions(records)
    found = {}
    for number, record in enumerate(records):
        for reference in record.layers:
            chain = chains[reference.layer] if 0 <= reference.layer < len(chains) else None
            if chain is not None and digests.is_digest(record.digest) and not record.inputs:
                made = _seconds(reference.created)
                found[digests.encoded(record.digest)] = CachedLayers(chain, made, definitions.get(number, ""))
    return found


def _definitions(records: Sequence[_Record]) -> dict[int, str]:
    """Keys by definition, by the numbers of the records that they stand for."""
    return {
        record.inputs[0][0].link: digests.encoded(record.digest)
        for record in records
        if digests.is_digest(record.digest) and [len(links) for links in record.inputs] == [1]
    }


def _time(seconds: float) -> str:
    return rfc3339(int(seconds * 1_000_000) * 1000)


def _seconds(text: str) -> float:
    try:
        return nanoseconds(text) // 1000 / 1_000_000 if text else 0.0
    except ValueError:
        return 0.0
