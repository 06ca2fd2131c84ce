"""The images of one engine: rows in the database, blobs in the store, layers in the snapshots.

Database calls happen on the event loop's thread; what is slow lies in `layers` and `archive` and runs in threads.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..cas import Store
from ..cas.compression import DEFAULT_LIMITS, Limits
from ..db import Database, Row
from ..errors import Conflict, InvalidArgument, NotFound
from ..model.state import NEVER
from ..model.times import instant, now
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import reference
from ..oci.config import ImageConfig
from ..oci.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from ..oci.reference import Reference
from ..oci.shortnames import ShortNames
from .layers import Layer, Layers, Snapshots
from .record import HistoryLine, Image


class Images:
    """Look up, add, name and describe images. Removal lies in `removal`, lists in `listing`."""

    def __init__(self, db: Database, store: Store, snapshots: Snapshots, limits: Limits = DEFAULT_LIMITS) -> None:
        self.db = db
        self.store = store
        self.layers = Layers(store, snapshots, limits)
        self.short_names = ShortNames()
        self._configs: dict[str, ImageConfig] = {}
        self._held: Counter[str] = Counter()
        self.on_change: Callable[[], None] = lambda: None
        """Called when an image came, went or got another name."""

    def get(self, ref: str) -> Image:
        """By familiar or full name, digest, ID or a unique prefix of the ID; raises NotFound in Docker's words."""
        image_id = self.resolve(ref)
        return self.by_id(image_id)

    def resolve(self, ref: str) -> str:
        """The image ID that a name, digest or prefix stands for."""
        if digests.is_digest(ref) or (reference.is_identifier(ref) and len(ref) == 64):
            return self._by_prefix(ref, ref)
        found = self._named(self.reference(ref))
        if found is not None:
            return found
        shown = reference.parse(ref).with_default_tag().familiar
        if reference.is_identifier(ref):
            return self._by_prefix(ref, shown)
        raise NotFound(f"No such image: {shown}")

    def reference(self, text: str, tag: str = "") -> Reference:
        """The name here that a name stands for: of a short name's candidates the first that is there, or the first."""
        candidates = [name.with_default_tag() for name in self.short_names.candidates(text, tag)]
        return next((name for name in candidates if self._named(name) is not None), candidates[0])

    def _named(self, name: Reference) -> str | None:
        if name.digest:
            sql, key = "SELECT image FROM image_digest WHERE name = ?", str(name.with_digest(name.digest))
        else:
            sql, key = "SELECT image FROM image_tag WHERE name = ?", str(name.with_default_tag())
        row = self.db.one(sql, (key,))
        return row["image"] if row else None

    def _by_prefix(self, ref: str, shown: str) -> str:
        prefix = "sha256:" + ref.removeprefix("sha256:")
        rows = self.db.query("SELECT id FROM image WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "g"))
        if len(rows) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {ref}")
        if not rows:
            raise NotFound(f"No such image: {shown}")
        image_id: str = rows[0]["id"]
        return image_id

    def by_id(self, image_id: str) -> Image:
        """By full ID; raises NotFound."""
        row = self.db.one("SELECT * FROM image WHERE id = ?", (image_id,))
        if row is None:
            raise NotFound(f"No such image: {image_id}")
        return self._image(row)

    def all(self) -> list[Image]:
        """Every image, newest first."""
        images = [self._image(row) for row in self.db.query("SELECT * FROM image")]
        return sorted(images, key=lambda image: image.created_at, reverse=True)

    def _image(self, row: Row) -> Image:
        image_id = row["id"]
        layers = self.db.query("SELECT * FROM image_layer WHERE image = ? ORDER BY position", (image_id,))
        return Image(
            id=image_id,
            config=self.config(image_id),
            manifest=row["manifest"],
            layers=tuple(_layer(layer) for layer in layers),
            size=row["size"],
            parent=row["parent"],
            tags=self.names("image_tag", image_id),
            digests=self.names("image_digest", image_id),
            tagged_at=row["tagged_at"],
            used_at=row["used_at"],
        )

    def names(self, table: str, image_id: str) -> tuple[Reference, ...]:
        """An image's names in `image_tag` or `image_digest`."""
        rows = self.db.query(f"SELECT name FROM {table} WHERE image = ? ORDER BY name", (image_id,))
        return tuple(reference.parse(row["name"]) for row in rows)

    def config(self, image_id: str) -> ImageConfig:
        """The configuration; kept in memory, since it never changes."""
        if image_id not in self._configs:
            self._configs[image_id] = configs.parse(self.store.read(image_id, configs.MAX_CONFIG_SIZE))
        return self._configs[image_id]

    def manifest(self, image: Image) -> tuple[bytes, Manifest]:
        """The manifest's bytes and content."""
        data = self.store.read(image.manifest, manifests.MAX_MANIFEST_SIZE)
        document = manifests.parse(data)
        if not isinstance(document, Manifest):
            raise InvalidArgument(f"{image.manifest} is no manifest")
        return data, document

    def children(self, image_id: str) -> list[str]:
        """IDs of the images that were committed or built on this one here."""
        return [row["id"] for row in self.db.query("SELECT id FROM image WHERE parent = ?", (image_id,))]

    def known_layer(self, chain_id: str, digest: str = "") -> Layer | None:
        """A layer that some image has, blob and snapshot alike; with `digest` only as that very blob."""
        rows = self.db.query("SELECT * FROM image_layer WHERE chain_id = ?", (chain_id,))
        for layer in map(_layer, rows):
            wanted = not digest or layer.descriptor.digest == digest
            if (
                wanted
                and self.store.exists(layer.descriptor.digest)
                and self.layers.snapshots.size(chain_id) is not None
            ):
                return layer
        return None

    def add(self, config: bytes, layers: Sequence[Layer], *, manifest: bytes | None = None, parent: str = "") -> Image:
        """Note an image whose layers are in the store and unpacked; without `manifest` one is made.

        An image that is known already stays, with the manifest that it has.
        """
        _check_layers(config, layers)
        image_id = self.store.add(config)
        if self.db.one("SELECT id FROM image WHERE id = ?", (image_id,)):
            return self.by_id(image_id)
        data = manifest or make_manifest(config, layers)
        manifest_digest = self.store.add(data)
        self._insert(image_id, manifest_digest, layers, parent)
        return self.by_id(image_id)

    def remake(self, image: Image, layers: Sequence[Layer], manifest: bytes) -> Image:
        """Give a known image another manifest and other blobs of its layers; what only it had before goes."""
        digest = self.store.add(manifest)
        with self.db.transaction():
            self.db.execute("UPDATE image SET manifest = ? WHERE id = ?", (digest, image.id))
            self.db.execute("DELETE FROM image_layer WHERE image = ?", (image.id,))
            self._insert_layers(image.id, layers)
        self.on_change()
        self.release((), [image.manifest, *(layer.descriptor.digest for layer in image.layers)])
        return self.by_id(image.id)

    def unlisted(self, config: bytes, layers: Sequence[Layer], *, manifest: bytes) -> Image:
        """An image that no row names: its documents are in the store for as long as the caller holds them."""
        document = _check_layers(config, layers)
        size = sum(layer.size for layer in layers)
        return Image(self.store.add(config), document, self.store.add(manifest), tuple(layers), size)

    def _insert(self, image_id: str, manifest: str, layers: Sequence[Layer], parent: str) -> None:
        with self.db.transaction():
            self.db.execute(
                "INSERT INTO image VALUES (?, ?, ?, ?, ?, ?)",
                (image_id, manifest, parent, sum(layer.size for layer in layers), NEVER, time.time()),
            )
            self._insert_layers(image_id, layers)
        self.on_change()

    def _insert_layers(self, image_id: str, layers: Sequence[Layer]) -> None:
        rows = [
            (image_id, position, layer.descriptor.digest, layer.descriptor.media_type, layer.descriptor.size,
             layer.diff_id, layer.chain_id, layer.size)
            for position, layer in enumerate(layers)
        ]  # fmt: skip
        self.db.execute_many("INSERT INTO image_layer VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def tag(self, image_id: str, target: Reference, index: str = "") -> str | None:
        """Name an image, as one of the index of that digest; returns the ID that had the name before, if another."""
        if target.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        if target.familiar_name in digests.ALGORITHMS:
            raise InvalidArgument("refusing to create an ambiguous tag using digest algorithm as name")
        name = str(target.with_default_tag())
        row = self.db.one("SELECT image FROM image_tag WHERE name = ?", (name,))
        with self.db.transaction():
            self.db.execute("INSERT OR REPLACE INTO image_tag VALUES (?, ?, ?)", (name, image_id, index))
            self.db.execute("UPDATE image SET tagged_at = ? WHERE id = ?", (now(), image_id))
        self.on_change()
        previous = row["image"] if row else None
        return previous if previous != image_id else None

    def add_digest(self, image_id: str, repository: Reference, digest: str) -> None:
        """Note under which digest a registry knows the image."""
        name = str(repository.with_digest(digest))
        self.db.execute("INSERT OR REPLACE INTO image_digest VALUES (?, ?)", (name, image_id))
        self.on_change()

    def add_origin(self, layer_digests: Iterable[str], repository: str) -> None:
        """Note that a repository (`docker.io/library/busybox`) holds these blobs."""
        rows = [(digest, repository) for digest in layer_digests]
        with self.db.transaction():
            self.db.execute_many("INSERT OR IGNORE INTO blob_origin VALUES (?, ?)", rows)

    def origins(self, layer_digest: str) -> list[str]:
        """Repositories known to hold a blob."""
        rows = self.db.query("SELECT repository FROM blob_origin WHERE digest = ?", (layer_digest,))
        return [row["repository"] for row in rows]

    def untag(self, target: Reference) -> bool:
        """Drop one tag or digest; whether it was there."""
        table = "image_digest" if target.digest else "image_tag"
        self.on_change()
        return self.db.execute(f"DELETE FROM {table} WHERE name = ?", (str(target),)) > 0

    def touch(self, image_id: str) -> None:
        """A container is made from the image: prune by last use counts from now."""
        self.db.execute("UPDATE image SET used_at = ? WHERE id = ?", (time.time(), image_id))

    def history(self, image: Image) -> list[HistoryLine]:
        """As `docker history`: newest first, `<missing>` for all but the top."""
        sizes = [layer.size for layer in image.layers]
        lines = []
        for entry in image.config.history or []:
            size = 0 if entry.empty_layer or not sizes else sizes.pop(0)
            created = instant(entry.created) // 10**9 if entry.created else 0
            lines.append(HistoryLine("<missing>", created, entry.created_by, None, size, entry.comment))
        if lines:
            top = lines[-1]
            lines[-1] = HistoryLine(
                image.id, top.created, top.created_by, image.repo_tags or None, top.size, top.comment
            )
        return lines[::-1]

    def referenced_blobs(self) -> set[str]:
        """Every blob that an image or a pin (the build cache) names, or that work under way holds."""
        rows = self.db.query(
            "SELECT id AS digest FROM image UNION SELECT manifest FROM image UNION SELECT digest FROM image_layer"
            " UNION SELECT digest FROM layer_pin UNION SELECT digest FROM image_index"
            " UNION SELECT blob FROM image_attestation"
        )
        return {row["digest"] for row in rows} | set(+self._held)

    def referenced_chains(self) -> set[str]:
        """Every layer that an image or a pin stands on, or that work under way holds."""
        sql = "SELECT chain_id FROM image_layer UNION SELECT chain_id FROM layer_pin"
        return {row["chain_id"] for row in self.db.query(sql)} | set(+self._held)

    @contextmanager
    def hold(self, keys: Iterable[str]) -> Iterator[None]:
        """Keep blobs (digests) and layers (chain IDs) that no row names yet: a pull, a load, a build under way."""
        held = list(keys)
        self._held.update(held)
        try:
            yield
        finally:
            self._held.subtract(held)

    def release(self, layers: Sequence[Layer], blobs: Iterable[str] = ()) -> list[Layer]:
        """Remove what no row names any more: snapshots from the top down, then the layers' blobs and `blobs`.

        The caller has dropped its own rows before. Returns the layers whose snapshots went. A layer that an image, a
        pin or a container needs stays, and so does all below it.
        """
        chains, named = self.referenced_chains(), self.referenced_blobs()
        snapshots, gone = self.layers.snapshots, []
        for layer in reversed(layers):
            if layer.chain_id in chains:
                break
            if snapshots.remove(layer.chain_id):
                gone.append(layer)
            elif snapshots.size(layer.chain_id) is not None:
                break
        for digest in {*blobs, *(layer.descriptor.digest for layer in layers)} - named:
            self.store.collect_one(digest)
        return gone

    def forget(self, image: Image) -> None:
        """Drop the row and its names; blobs and layers are the caller's to remove afterwards."""
        if self.children(image.id):
            raise Conflict("image has dependent child images")
        self.db.execute("DELETE FROM image WHERE id = ?", (image.id,))
        self.on_change()
        self._configs.pop(image.id, None)


def _layer(row: Row) -> Layer:
    descriptor = Descriptor(row["media_type"], row["digest"], row["compressed_size"])
    return Layer(descriptor, row["diff_id"], row["chain_id"], row["size"])


def _check_layers(config: bytes, layers: Sequence[Layer]) -> ImageConfig:
    document = configs.parse(config)
    if [layer.diff_id for layer in layers] != document.rootfs.diff_ids:
        raise InvalidArgument("layers from manifest don't match image configuration")
    return document


def make_manifest(config: bytes, layers: Sequence[Layer]) -> bytes:
    """The manifest of an image that came without one."""
    described = manifests.describe(config, OCI_CONFIG)
    return manifests.encode(Manifest(2, described, [layer.descriptor for layer in layers], media_type=OCI_MANIFEST))
