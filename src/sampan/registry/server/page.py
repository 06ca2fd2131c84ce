"""The registry's own pages: repositories, tags, sizes, layers. Plain HTML, no script."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import msgspec

from ...errors import SampanError
from ...oci import config as configs
from ...oci import manifest as manifests
from ...oci.config import ImageConfig
from ...oci.manifest import Descriptor, Index, Manifest
from .pagestyle import STYLE
from .problems import Problem
from .storage import RegistryStorage

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_UNITS = ("B", "kB", "MB", "GB", "TB")
_SHOWN_TAGS = 5


def render(storage: RegistryStorage, path: str, host: str) -> str:
    """`/` lists repositories, `/r/NAME` its tags, `/r/NAME@DIGEST` a manifest; raises Problem. `host`: our address."""
    if not path.startswith("/r/"):
        return _document("Registry", [], _repositories(storage))
    name, at, digest = path[3:].partition("@")
    if name not in storage.names():
        raise Problem(404, "NAME_UNKNOWN", "repository name not known to registry")
    shown = _Repository(storage, name, host)
    trail = [("/", "Registry")]
    if not at:
        return _document(name, trail, shown.tags())
    return _document(f"{name}@{digest[:19]}", [*trail, (f"/r/{quote(name)}", name)], shown.manifest(digest))


def _document(title: str, trail: Sequence[tuple[str, str]], body: str) -> str:
    links = " / ".join(f'<a href="{target}">{escape(text)}</a>' for target, text in trail)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<nav>{links}</nav><h1>{escape(title)}</h1>{body}</body></html>"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns whose head begins with `#` are numbers."""
    if not rows:
        return "<p>Nothing here yet.</p>"
    kinds = [' class="n"' if head.startswith("#") else "" for head in heads]
    head = "".join(f"<th{kind}>{name.lstrip('#')}</th>" for kind, name in zip(kinds, heads, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _repositories(storage: RegistryStorage) -> str:
    rows, seen = [], dict[str, int]()
    for name in storage.names():
        sizes = {digest: storage.blob_size(digest) for digest in storage.blobs(name)}
        seen |= sizes
        tags = storage.tags(name)
        named = ", ".join(tags[:_SHOWN_TAGS]) + (", …" if len(tags) > _SHOWN_TAGS else "")
        pushed = max((storage.tagged_at(name, tag) for tag in tags), default=0.0)
        rows.append([
            f'<a href="/r/{quote(name)}">{escape(name)}</a>', str(len(tags)), escape(named), size(sum(sizes.values())),
            _when(pushed),
        ])  # fmt: skip
    total = f"<p>{len(rows)} repositories, {size(sum(seen.values()))} on disk.</p>"
    return total + _table(["Repository", "#Tags", "Names", "#Size", "Pushed"], rows)


@dataclass(frozen=True)
class _Repository:
    storage: RegistryStorage
    name: str
    host: str

    def tags(self) -> str:
        """Every tag with its platforms and size."""
        rows = []
        for tag in self.storage.tags(self.name):
            digest = self.storage.resolve(self.name, tag) or ""
            document = self._document(digest)
            if document is None:
                continue
            rows.append([
                escape(tag), self._link(digest, digest[7:19]), escape(", ".join(self._platforms(document))),
                size(self._total(document)), _when(self.storage.tagged_at(self.name, tag)),
            ])  # fmt: skip
        return self._hint(f"{self.name}:TAG") + _table(["Tag", "Digest", "Platforms", "#Size", "Pushed"], rows)

    def manifest(self, digest: str) -> str:
        """An image's configuration and layers, or the parts of an index; what refers to it."""
        document = self._document(digest)
        if document is None:
            raise Problem(404, "MANIFEST_UNKNOWN", "manifest unknown")
        body = self._index(document) if isinstance(document, Index) else self._image(document)
        return self._hint(f"{self.name}@{digest}") + body + self._referrers(digest)

    def _hint(self, reference: str) -> str:
        return f"<pre>docker pull {escape(self.host)}/{escape(reference)}</pre>"

    def _link(self, digest: str, text: str) -> str:
        return f'<a href="/r/{quote(self.name)}@{quote(digest)}"><code>{escape(text)}</code></a>'

    def _document(self, digest: str) -> Manifest | Index | None:
        try:
            known = self.storage.resolve(self.name, digest) == digest
            kept = self.storage.manifest(self.name, digest) if known else None
            return manifests.parse(*kept) if kept else None
        except SampanError:
            return None

    def _config(self, document: Manifest) -> ImageConfig | None:
        """None for artifacts, and for images whose configuration is not here (a cache's)."""
        try:
            return configs.parse(self.storage.store.read(document.config.digest, configs.MAX_CONFIG_SIZE))
        except SampanError:
            return None

    def _platforms(self, document: Manifest | Index) -> list[str]:
        if isinstance(document, Index):
            images = [entry for entry in document.manifests if not manifests.is_attestation(entry)]
            return [str(entry.platform or "unknown") for entry in images]
        config = self._config(document)
        return [str(config.platform.normalized())] if config and config.os else [document.artifact_type or "artifact"]

    def _total(self, document: Manifest | Index) -> int:
        """Bytes of all blobs, each once."""
        return sum({part.digest: part.size for part in self._parts(document)}.values())

    def _parts(self, document: Manifest | Index) -> Iterable[Descriptor]:
        if isinstance(document, Manifest):
            yield from (document.config, *document.layers)
            return
        for entry in document.manifests:
            member = self._document(entry.digest)
            if member is not None:
                yield from self._parts(member)

    def _index(self, document: Index) -> str:
        rows = []
        for entry in document.manifests:
            member, about = self._document(entry.digest), manifests.attested(entry)
            kind = f"attestation of {about[:19]}" if about else str(entry.platform or "unknown")
            shown = (
                self._link(entry.digest, entry.digest[:19]) if member else f"<code>{escape(entry.digest[:19])}</code>"
            )
            rows.append([escape(kind), shown, size(self._total(member)) if member else "not here"])
        return _table(["Platform", "Manifest", "#Size"], rows)

    def _image(self, document: Manifest) -> str:
        config = self._config(document)
        steps = [entry for entry in (config.history or [] if config else []) if not entry.empty_layer]
        rows = []
        for number, layer in enumerate(document.layers):
            by = steps[number].created_by if number < len(steps) else layer.media_type
            rows.append([str(number + 1), f"<code>{escape(by)}</code>", size(layer.size), _digest(layer.digest)])
        layers = _table(["#", "Created by", "#Size", "Digest"], rows)
        return f"{_facts(document, config)}<h2>Layers</h2>{layers}"

    def _referrers(self, digest: str) -> str:
        found = self.storage.referrers(self.name, digest)
        if not found:
            return ""
        rows = [[escape(one.artifact_type), self._link(one.digest, one.digest[:19]), size(one.size)] for one in found]
        return "<h2>Referrers</h2>" + _table(["Kind", "Manifest", "#Size"], rows)


def _facts(document: Manifest, config: ImageConfig | None) -> str:
    """What an image's configuration says, as a list."""
    rows = [("Size", size(sum(part.size for part in (document.config, *document.layers))))]
    if config is not None and config.os:
        rows += [("Platform", escape(str(config.platform.normalized()))), ("Created", escape(config.created or ""))]
        execution = msgspec.to_builtins(config.config) if config.config else {}
        rows += [(name, _value(execution[name])) for name in _SHOWN if execution.get(name)]
    rows += [("Configuration", _digest(document.config.digest))]
    rows += [(f"{name}", escape(value)) for name, value in (document.annotations or {}).items()]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows if value)
    return f"<dl>{listed}</dl>"


_SHOWN = ("Entrypoint", "Cmd", "User", "WorkingDir", "Env", "ExposedPorts", "Volumes", "Labels", "StopSignal")


def _value(value: object) -> str:
    if isinstance(value, dict):
        lines = [f"{key}={text}" if isinstance(text, str) else str(key) for key, text in value.items()]
    else:
        lines = [str(part) for part in value] if isinstance(value, list) else [str(value)]
    return "<br>".join(f"<code>{escape(line)}</code>" for line in lines)


def _digest(digest: str) -> str:
    return f'<code title="{escape(digest)}">{escape(digest[:19])}</code>'


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if seconds else ""


def size(count: float) -> str:
    """Bytes with three digits."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g}&nbsp;{_UNITS[unit]}"
