"""Files of a registry.

    <root>/content/blobs/sha256/<hex>              every blob and manifest, once
    <root>/repositories/<name>/_blobs/<digest>     the repository has this blob
                              /_manifests/<digest> … and this manifest; the file holds its media type
                              /_tags/<tag>         the file holds a digest
                              /_referrers/<digest of the subject>/<digest>
    <root>/uploads/<id>                            bytes of uploads under way

A link is written only when what it names is durable (write, fsync, rename, fsync of the directory), and what it names
is removed only after the link: after a crash at any point no link leads nowhere.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator

from ...cas import Store
from ...errors import NotFound
from ...linux.fds import write_all
from ...oci import digest as digests
from ...oci import manifest as manifests
from ...oci.manifest import Descriptor, Index, Manifest

_MARKERS = frozenset({"_blobs", "_manifests", "_tags", "_referrers"})


class RegistryStorage:
    """One registry's files. Calls are short; big bodies are written by `uploads`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.repositories = f"{root}/repositories"
        self.uploads = f"{root}/uploads"
        for directory in (root, self.repositories, self.uploads):
            os.makedirs(directory, mode=0o750, exist_ok=True)
        self.store = Store(f"{root}/content", f"{root}/tmp")
        for name in os.listdir(f"{root}/tmp"):
            os.unlink(f"{root}/tmp/{name}")

    def has_blob(self, name: str, digest: str) -> bool:
        """Whether the repository has a blob. Asking renews the time for which garbage collection spares it."""
        link = self._link(name, "_blobs", digest)
        if not os.path.exists(link) or not self.store.exists(digest):
            return False
        os.utime(link)
        os.utime(self.store.path(digest))
        return True

    def link_blob(self, name: str, digest: str) -> None:
        """The repository has a blob from now on."""
        os.utime(self.store.path(digest))
        self._write(self._link(name, "_blobs", digest), b"")

    def unlink_blob(self, name: str, digest: str) -> bool:
        """Forget that the repository has a blob; whether it had."""
        return _unlink(self._link(name, "_blobs", digest))

    def resolve(self, name: str, reference: str) -> str | None:
        """The digest of a manifest that a tag or digest stands for."""
        if digests.is_digest(reference):
            return reference if os.path.exists(self._link(name, "_manifests", reference)) else None
        digest = _read(self._link(name, "_tags", reference))
        return digest.decode() if digest else None

    def manifest(self, name: str, digest: str) -> tuple[bytes, str] | None:
        """A manifest's bytes and media type."""
        media_type = _read(self._link(name, "_manifests", digest))
        if media_type is None or not self.store.exists(digest):
            return None
        return self.store.read(digest, manifests.MAX_MANIFEST_SIZE), media_type.decode()

    def put_manifest(self, name: str, data: bytes, digest: str, document: Manifest | Index, media_type: str) -> None:
        """Keep a manifest whose parts are all there."""
        self.store.add(data, digest)
        if document.subject is not None:
            self._write(self._link(name, f"_referrers/{document.subject.digest}", digest), b"")
        self._write(self._link(name, "_manifests", digest), media_type.encode())

    def put_tag(self, name: str, tag: str, digest: str) -> None:
        """Point a tag at a manifest."""
        self._write(self._link(name, "_tags", tag), digest.encode())

    def tagged_at(self, name: str, tag: str) -> float:
        """When a tag was last pushed, in seconds since the epoch; 0 when it is gone."""
        try:
            return os.stat(self._link(name, "_tags", tag)).st_mtime
        except FileNotFoundError:
            return 0.0

    def blob_size(self, digest: str) -> int:
        """Bytes of a blob, 0 when it is gone."""
        try:
            return self.store.size(digest)
        except NotFound:
            return 0

    def blob_touched_at(self, digest: str) -> float:
        """When a blob was last pushed or asked for, in seconds since the epoch; infinity when it is gone."""
        try:
            return os.stat(self.store.path(digest)).st_mtime
        except FileNotFoundError:
            return math.inf

    def delete_tag(self, name: str, tag: str) -> bool:
        """Drop a tag; whether it was there."""
        return _unlink(self._link(name, "_tags", tag))

    def delete_manifest(self, name: str, digest: str) -> bool:
        """Drop a manifest and the tags that point at it; whether it was there."""
        for tag in self.tags(name):
            if self.resolve(name, tag) == digest:
                self.delete_tag(name, tag)
        for subject in self._names(f"{self.repositories}/{name}/_referrers"):
            _unlink(self._link(name, f"_referrers/{subject}", digest))
        return _unlink(self._link(name, "_manifests", digest))

    def exists(self, name: str) -> bool:
        """Whether there is such a repository."""
        return os.path.isdir(f"{self.repositories}/{name}/_manifests")

    def tags(self, name: str) -> list[str]:
        """All tags, sorted as the specification wants (lexically)."""
        return sorted(self._names(f"{self.repositories}/{name}/_tags"))

    def manifests(self, name: str) -> list[str]:
        """Digests of all manifests of a repository."""
        return sorted(self._names(f"{self.repositories}/{name}/_manifests"))

    def blobs(self, name: str) -> list[str]:
        """Digests of all blobs that a repository has."""
        return sorted(self._names(f"{self.repositories}/{name}/_blobs"))

    def referrers(self, name: str, subject: str) -> list[Descriptor]:
        """Descriptors of the manifests whose subject this is."""
        found = []
        for digest in sorted(self._names(f"{self.repositories}/{name}/_referrers/{subject}")):
            kept = self.manifest(name, digest)
            if kept is not None:
                found.append(describe_referrer(kept[0], digest, kept[1]))
        return found

    def names(self) -> list[str]:
        """All repositories, sorted."""
        return sorted(self._walk(""))

    def _walk(self, prefix: str) -> Iterator[str]:
        children = self._names(f"{self.repositories}/{prefix}")
        if "_manifests" in children and prefix:
            yield prefix.rstrip("/")
        for child in children:
            if child not in _MARKERS:
                yield from self._walk(f"{prefix}{child}/")

    def _names(self, directory: str) -> list[str]:
        try:
            return os.listdir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _link(self, name: str, kind: str, key: str) -> str:
        return f"{self.repositories}/{name}/{kind}/{key}"

    def _write(self, path: str, data: bytes) -> None:
        directory = os.path.dirname(path)
        _make_directories(directory)
        handle, temporary = tempfile.mkstemp(dir=f"{self.root}/tmp")
        try:
            write_all(handle, data)
            os.fsync(handle)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(handle)
        _fsync(directory)


def describe_referrer(data: bytes, digest: str, media_type: str) -> Descriptor:
    """As the referrers API shows it: with artifact type and annotations."""
    document = manifests.parse(data, media_type)
    kind = document.artifact_type or (document.config.media_type if isinstance(document, Manifest) else "")
    return Descriptor(media_type, digest, len(data), annotations=document.annotations, artifact_type=kind)


def _make_directories(path: str) -> None:
    """Like makedirs, and durable."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    _make_directories(parent)
    os.makedirs(path, exist_ok=True)
    _fsync(parent)


def _fsync(directory: str) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    _fsync(os.path.dirname(path))
    return True
