"""Packages inside an image, from the records that package managers leave in its file system."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from . import rpmdb

_DPKG = ("var/lib/dpkg/status", "var/lib/dpkg/status.d/")
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_PIP = re.compile(r".*(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info)")
_NPM = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+/package\.json")


class Package(Struct, frozen=True, order=True):
    """`kind` is a package-url type: deb, apk, rpm, pypi, npm. `source` is the source package where it differs."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    license: str = ""


class Inventory(Struct, frozen=True):
    """Distribution (os-release ID and VERSION_ID) and packages, sorted."""

    distribution: str
    release: str
    packages: list[Package]


def is_record(path: str) -> bool:
    """Whether a file tells about packages or the distribution."""
    return (
        path in _OS_RELEASE
        or path in _APK
        or path in rpmdb.PATHS
        or path == _DPKG[0]
        or (path.startswith(_DPKG[1]) and not path.endswith(".md5sums"))
        or _PIP.fullmatch(path) is not None
        or _NPM.fullmatch(path) is not None
    )


def inventory(files: Mapping[str, bytes]) -> Inventory:
    """Read all records of a flattened image."""
    found: set[Package] = set()
    release: dict[str, str] = {}
    for path, data in files.items():
        if path in rpmdb.PATHS:
            found.update(_rpm(data))
            continue
        text = data.decode(errors="replace")
        if path in _OS_RELEASE:
            release = release or _os_release(text)
        elif path.startswith("var/lib/dpkg/"):
            found.update(_dpkg(text))
        elif path in _APK:
            found.update(_apk(text))
        elif path.endswith("package.json"):
            found.update(_npm(text))
        else:
            found.update(_pip(text))
    return Inventory(release.get("ID", ""), release.get("VERSION_ID", ""), sorted(found))


def _os_release(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        for line in paragraph.splitlines():
            key, colon, value = line.partition(":")
            if colon and not line[:1].isspace():
                fields.setdefault(key, value.strip())
        if fields:
            yield fields


def _dpkg(text: str) -> Iterator[Package]:
    for fields in _paragraphs(text):
        if "Package" not in fields or not fields.get("Status", "install ok installed").endswith(" installed"):
            continue
        source, _, version = fields.get("Source", "").partition(" ")
        yield Package(
            "deb", fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""), source,
            version.strip("()"),
        )  # fmt: skip


def _rpm(data: bytes) -> Iterator[Package]:
    for tags in rpmdb.headers(data):
        if "name" not in tags or tags["name"] == "gpg-pubkey":
            continue
        version = f"{tags.get('version', '')}-{tags.get('release', '')}"
        epoch = tags.get("epoch", "0")
        source = tags.get("sourcerpm", "").rsplit("-", 2)[0]
        yield Package(
            "rpm", tags["name"], version if epoch == "0" else f"{epoch}:{version}", tags.get("arch", ""),
            "" if source == tags["name"] else source, license=tags.get("license", "")[:80],
        )  # fmt: skip


def _apk(text: str) -> Iterator[Package]:
    for paragraph in text.split("\n\n"):
        fields = {line[0]: line[2:] for line in paragraph.splitlines() if line[1:2] == ":"}
        if "P" in fields:
            yield Package(
                "apk", fields["P"], fields.get("V", ""), fields.get("A", ""), fields.get("o", ""),
                license=fields.get("L", ""),
            )  # fmt: skip


def _pip(text: str) -> Iterator[Package]:
    fields = next(_paragraphs(text), {})
    if "Name" in fields and "Version" in fields:
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()  # PEP 503
        yield Package("pypi", name, fields["Version"], license=fields.get("License", "")[:80])


def _npm(text: str) -> Iterator[Package]:
    try:
        document = json.loads(text)
    except ValueError:
        return
    if (
        isinstance(document, dict)
        and isinstance(document.get("name"), str)
        and isinstance(document.get("version"), str)
    ):
        terms = document.get("license")
        yield Package("npm", document["name"], document["version"], license=terms if isinstance(terms, str) else "")
