"""The registry's own page: repositories, tags, sizes, layers. Plain HTML, no script."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from ...errors import SampanError
from ...oci import manifest as manifests
from ...oci.manifest import Descriptor, Index, Manifest
from .problems import Problem
from .storage import RegistryStorage

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_UNITS = ("B", "kB", "MB", "GB", "TB")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2733}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .8rem}"
    "td,th{border-bottom:1px solid #dde3e8}"
    "code{font-size:13px}a{color:#0b5fa5;text-decoration:none}.n{text-align:right}"
    "@media(prefers-color-scheme:dark){body{background:#15191e;color:#dbe2e8}a{color:#7cb8ee}"
    "td,th{border-color:#333c45}}"
)


def render(storage: RegistryStorage, path: str) -> str:
    """`/` lists repositories, `/r/NAME` its tags, `/r/NAME@DIGEST` a manifest's layers; raises Problem."""
    if not path.startswith("/r/"):
        return _document("Registry", _repositories(storage))
    name, at, digest = path[3:].partition("@")
    if name not in storage.names():
        raise Problem(404, "NAME_UNKNOWN", "repository name not known to registry")
    if at:
        return _document(f"{name}@{digest[:19]}", _manifest(storage, name, digest))
    return _document(name, _tags(storage, name))


def _document(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<p><a href="/">Registry</a></p><h1>{escape(title)}</h1>{body}</html>'
    )


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{name}" for name in heads)
    lines = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<table><tr>{head}{lines}</table>" if rows else "<p>Nothing here yet.</p>"


def _repositories(storage: RegistryStorage) -> str:
    rows = [
        [f'<a href="/r/{quote(name)}">{escape(name)}</a>', str(len(storage.tags(name)))] for name in storage.names()
    ]
    return _table(["Repository", "Tags"], rows)


def _tags(storage: RegistryStorage, name: str) -> str:
    rows = []
    for tag in storage.tags(name):
        digest = storage.resolve(name, tag) or ""
        kept = storage.manifest(name, digest) if digest else None
        if kept is None:
            continue
        document = manifests.parse(kept[0], kept[1])
        link = f'<a href="/r/{quote(name)}@{digest}"><code>{escape(digest[7:19])}</code></a>'
        rows.append([escape(tag), link, _kind(document), _size(_total(storage, name, document))])
    return _table(["Tag", "Digest", "Kind", "Size"], rows)


def _manifest(storage: RegistryStorage, name: str, digest: str) -> str:
    try:
        kept = storage.manifest(name, digest) if storage.resolve(name, digest) == digest else None
    except SampanError:
        kept = None
    if kept is None:
        raise Problem(404, "MANIFEST_UNKNOWN", "manifest unknown")
    document = manifests.parse(kept[0], kept[1])
    if isinstance(document, Index):
        rows = [
            [f'<a href="/r/{quote(name)}@{entry.digest}"><code>{escape(entry.digest)}</code></a>',
             escape(str(entry.platform or "")), _size(entry.size)]
            for entry in document.manifests
        ]  # fmt: skip
        return _table(["Manifest", "Platform", "Size"], rows)
    return _table(["Layer", "Type", "Size"], [_layer(layer) for layer in [document.config, *document.layers]])


def _layer(layer: Descriptor) -> list[str]:
    return [f"<code>{escape(layer.digest)}</code>", escape(layer.media_type), _size(layer.size)]


def _kind(document: Manifest | Index) -> str:
    return f"index of {len(document.manifests)}" if isinstance(document, Index) else "image"


def _total(storage: RegistryStorage, name: str, document: Manifest | Index) -> int:
    if isinstance(document, Manifest):
        return document.config.size + sum(layer.size for layer in document.layers)
    total = 0
    for entry in document.manifests:
        kept = storage.manifest(name, entry.digest)
        if kept is not None:
            total += _total(storage, name, manifests.parse(kept[0], kept[1]))
    return total


def _size(count: float) -> str:
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g}&nbsp;{_UNITS[unit]}"
