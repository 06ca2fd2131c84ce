"""Bills of material: SPDX 2.3 and CycloneDX 1.5, as JSON documents."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from .packages import Inventory, Package


def purl(package: Package, inventory: Inventory) -> str:
    """The package-url: `pkg:deb/debian/bash@5.2?arch=amd64&distro=debian-12`."""
    name = quote(package.name, safe="") if package.kind != "npm" else quote(package.name, safe="/")
    version = quote(package.version, safe=":+~.-")
    if package.kind not in {"deb", "apk", "rpm"}:
        return f"pkg:{package.kind}/{name}@{version}"
    owner = inventory.distribution or package.kind
    suffix = f"?arch={package.architecture}&distro={owner}-{inventory.release}"
    return f"pkg:{package.kind}/{owner}/{name}@{version}{suffix}"


def spdx(inventory: Inventory, image: str, digest: str, created: str) -> dict[str, Any]:
    """SPDX 2.3."""
    packages = [
        {
            "SPDXID": f"SPDXRef-{number}",
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                 "referenceLocator": purl(package, inventory)}
            ],
        }
        for number, package in enumerate(inventory.packages)
    ]  # fmt: skip
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image,
        "documentNamespace": f"https://spdx.org/spdxdocs/{re.sub(r'[^A-Za-z0-9.-]', '-', image)}-{digest[7:]}",
        "creationInfo": {"created": created, "creators": ["Tool: sampan"]},
        "packages": packages,
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
             "relatedSpdxElement": package["SPDXID"]}
            for package in packages
        ],
    }  # fmt: skip


def cyclonedx(inventory: Inventory, image: str, digest: str, created: str) -> dict[str, Any]:
    """CycloneDX 1.5."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": created,
            "tools": {"components": [{"type": "application", "name": "sampan"}]},
            "component": {"type": "container", "name": image, "version": digest},
        },
        "components": [_component(package, inventory) for package in inventory.packages],
    }


def _component(package: Package, inventory: Inventory) -> dict[str, Any]:
    reference = purl(package, inventory)
    component: dict[str, Any] = {
        "type": "library", "bom-ref": reference, "name": package.name, "version": package.version, "purl": reference
    }  # fmt: skip
    if package.license:
        component["licenses"] = [{"license": {"name": package.license}}]
    return component
