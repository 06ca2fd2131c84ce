"""Bills of material and scans of a real Debian's package records: this machine's."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.archives import tree
from ..support.daemon import Daemon

RECORDS = 20_000


def packages() -> dict[str, str]:
    """Name and version of what dpkg calls installed."""
    form = "${db:Status-Abbrev}\t${Package}\t${Version}\n"
    lines = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in lines.splitlines()]
    return {name: version for status, name, version in rows if status[1] == "i"}


@pytest.fixture
def image(daemon: Daemon, name: str) -> Iterator[str]:
    files = {path: Path("/", path).read_bytes() for path in ("etc/os-release", "var/lib/dpkg/status")}
    daemon.ok("import", "-", f"{name}:1", stdin=tree(files))
    yield f"{name}:1"
    daemon.ok("rmi", f"{name}:1")


def test_every_package_that_dpkg_knows_is_named(daemon: Daemon, image: str) -> None:
    installed = packages()
    spdx = json.loads(daemon.sampan("image", "sbom", image).out)
    named = {package["name"]: package["versionInfo"] for package in spdx["packages"] if "versionInfo" in package}
    assert {name: named.get(name) for name in installed} == installed
    assert len([entry for entry in spdx["packages"] if "versionInfo" in entry]) == len(
        subprocess.run(["dpkg-query", "-W"], capture_output=True, check=True).stdout.splitlines()
    )
    cyclonedx = json.loads(daemon.sampan("image", "sbom", "--format", "cyclonedx", image).out)
    assert {one["name"]: one["version"] for one in cyclonedx["components"]} == named
    assert all(one["purl"].startswith("pkg:deb/debian/") for one in cyclonedx["components"])


def test_a_big_database_finds_what_is_affected_and_nothing_else(daemon: Daemon, image: str, tmp_path: Path) -> None:
    installed, release = packages(), Path("/etc/debian_version").read_text().partition(".")[0]
    # what was rebuilt (+b1) has another version than its source, to which records refer
    known = [name for name in ("coreutils", "dash", "gzip", "sed", "tar") if "+b" not in installed[name]]
    assert len(known) > 1
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(RECORDS):
            name, fixed = f"no-such-{number}", "9999"
            if number < len(known):  # one version later than what is there, or that very version
                name, fixed = known[number], installed[known[number]] + ("+1" if number % 2 else "")
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
            affected = [
                {"package": {"ecosystem": f"Debian:{one}", "name": name}, "ranges": ranges} for one in ("10", release)
            ]
            record = {"id": f"DSA-{number}", "summary": "x" * 80, "details": "y" * 500, "affected": affected}
            archive.writestr(f"DSA-{number}.json", json.dumps(record))
    result = daemon.sampan("image", "scan", "--fail", "--format", "json", "--db", str(tmp_path / "all.zip"), image)
    found = json.loads(result.out)
    assert {one["package"] for one in found} >= {name for number, name in enumerate(known) if number % 2}
    assert {one["id"] for one in found} == {f"DSA-{number}" for number in range(len(known)) if number % 2}
    assert result.status == 1
