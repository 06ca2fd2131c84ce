"""`image scan`: packages matched with a directory of OSV records (https://ossf.github.io/osv-schema/).

Nothing is fetched: the user brings the database, unpacked `*.json` files in any depth or the `all.zip` of osv.dev.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from .packages import Inventory, Package
from .versions import compare_apk, compare_dpkg, compare_numeric, compare_rpm

_RPM = {"rocky": ("Rocky Linux", 1), "almalinux": ("AlmaLinux", 1), "opensuse-leap": ("openSUSE:Leap", 2)}
"""OSV's name of a distribution, and how many parts of its release belong to it."""

Compare = Callable[[str, str], int]


class Finding(Struct, frozen=True, order=True):
    """A package that a record names; `fixed` is the version that mends it, empty when none is known."""

    id: str
    package: str
    version: str
    fixed: str
    summary: str


def records(path: str) -> Iterator[dict[str, Any]]:
    """All OSV records of a directory or a zip file; files that are none are passed over."""
    if os.path.isfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".json"):
                    yield from _record(archive.read(name))
        return
    for directory, _, names in os.walk(path):
        for name in sorted(names):
            if name.endswith(".json"):
                with open(f"{directory}/{name}", "rb") as file:
                    yield from _record(file.read())


def _record(data: bytes) -> Iterator[dict[str, Any]]:
    try:
        document = json.loads(data)
    except ValueError:
        return
    if isinstance(document, dict) and "id" in document:
        yield document


def scan(inventory: Inventory, database: Iterator[dict[str, Any]]) -> list[Finding]:
    """Every match, sorted."""
    packages: dict[tuple[str, str], list[tuple[Package, str]]] = defaultdict(list)
    for package in inventory.packages:
        ecosystem = _ecosystem(package, inventory)
        packages[ecosystem, package.source or package.name].append((package, package.source_version or package.version))
        packages[ecosystem, package.name].append((package, package.version))
    found = set()
    for record in database:
        if record.get("withdrawn"):
            continue
        for affected in record.get("affected") or []:
            about = affected.get("package") or {}
            for package, version in packages.get((about.get("ecosystem", ""), about.get("name", "")), []):
                fixed = affected_by(affected, version, _comparison(package))
                if fixed is not None:
                    summary = str(record.get("summary", ""))
                    found.add(Finding(str(record["id"]), package.name, package.version, fixed, summary))
    return sorted(found)


def _ecosystem(package: Package, inventory: Inventory) -> str:
    if package.kind == "deb":
        return f"{'Ubuntu' if inventory.distribution == 'ubuntu' else 'Debian'}:{inventory.release}"
    if package.kind == "apk":
        return f"Alpine:v{'.'.join(inventory.release.split('.')[:2])}"
    if package.kind == "rpm":
        name, parts = _RPM.get(inventory.distribution, (inventory.distribution, 1))
        return f"{name}:{'.'.join(inventory.release.split('.')[:parts])}"
    return {"pypi": "PyPI", "npm": "npm"}[package.kind]


def _comparison(package: Package) -> Compare:
    return {"deb": compare_dpkg, "apk": compare_apk, "rpm": compare_rpm}.get(package.kind, compare_numeric)


def affected_by(affected: dict[str, Any], version: str, compare: Compare) -> str | None:
    """The fixing version (empty: none known) when the version is affected, else None."""
    for bounds in affected.get("ranges") or []:
        if bounds.get("type") == "GIT":
            continue
        fixed = _in_range(bounds.get("events") or [], version, compare)
        if fixed is not None:
            return fixed
    return "" if version in (affected.get("versions") or []) else None


def _in_range(events: list[dict[str, str]], version: str, compare: Compare) -> str | None:
    inside = False
    for event in events:
        if "introduced" in event:
            start = event["introduced"]
            inside = inside or start == "0" or compare(version, start) >= 0
        elif "fixed" in event and inside:
            if compare(version, event["fixed"]) < 0:
                return event["fixed"]
            inside = False
        elif "last_affected" in event and inside and compare(version, event["last_affected"]) > 0:
            inside = False
    return "" if inside else None
