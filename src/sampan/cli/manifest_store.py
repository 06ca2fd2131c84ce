"""Manifest lists in the making: a directory per list, a JSON file per manifest, in the place where Docker has them."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

Entry = dict[str, Any]
"""`Ref`, `Descriptor` with its platform, `Raw` (base64), and the manifest decoded."""


def file_name(reference: str) -> str:
    return reference.replace(":", "-").replace("/", "_")


class ManifestStore:
    def __init__(self, config_directory: str) -> None:
        self._root = os.path.join(config_directory, "manifests")

    def _directory(self, name: str) -> str:
        return os.path.join(self._root, file_name(name))

    def exists(self, name: str) -> bool:
        return os.path.isdir(self._directory(name))

    def entries(self, name: str) -> list[Entry]:
        """In the order of their file names; empty where there is no such list."""
        directory, found = self._directory(name), []
        for entry in sorted(os.listdir(directory)) if self.exists(name) else ():
            with open(os.path.join(directory, entry), encoding="utf-8") as file:
                found.append(json.load(file))
        return found

    def get(self, name: str, reference: str) -> Entry | None:
        return next((entry for entry in self.entries(name) if entry["Ref"] == reference), None)

    def put(self, name: str, entry: Entry) -> None:
        os.makedirs(self._directory(name), exist_ok=True)
        path = os.path.join(self._directory(name), file_name(entry["Ref"]))
        with open(f"{path}.tmp", "w", encoding="utf-8") as file:
            json.dump(entry, file)
        os.replace(f"{path}.tmp", path)

    def remove(self, name: str) -> None:
        shutil.rmtree(self._directory(name))
