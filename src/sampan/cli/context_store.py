"""Docker's context store: `contexts/meta/<sha256 of the name>/meta.json` and TLS files beside it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import Any

from sampan.client.target import TlsFiles
from sampan.errors import NotFound

Meta = dict[str, Any]
TLS_FILES = ("ca.pem", "cert.pem", "key.pem")
ENDPOINT = "docker"


class Endpoint:
    """Where a context's daemon is."""

    __slots__ = ("host", "tls")

    def __init__(self, host: str, tls: TlsFiles | None) -> None:
        self.host, self.tls = host, tls


class ContextStore:
    def __init__(self, config_directory: str) -> None:
        self._root = os.path.join(config_directory, "contexts")

    def directories(self, name: str) -> tuple[str, str]:
        """Of the metadata and of the TLS files."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        return os.path.join(self._root, "meta", digest), os.path.join(self._root, "tls", digest)

    def load(self, name: str) -> Meta:
        path = os.path.join(self.directories(name)[0], "meta.json")
        try:
            with open(path, encoding="utf-8") as file:
                loaded: Meta = json.load(file)
        except OSError as error:
            message = f'context "{name}": context not found: open {path}: no such file or directory'
            raise NotFound(message) from error
        return loaded

    def exists(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.directories(name)[0], "meta.json"))

    def names(self) -> list[str]:
        found = []
        root = os.path.join(self._root, "meta")
        for entry in os.listdir(root) if os.path.isdir(root) else ():
            with open(os.path.join(root, entry, "meta.json"), encoding="utf-8") as file:
                found.append(json.load(file)["Name"])
        return sorted(found)

    def tls_files(self, name: str) -> dict[str, str]:
        """Path by file name."""
        directory = os.path.join(self.directories(name)[1], ENDPOINT)
        paths = {file: os.path.join(directory, file) for file in TLS_FILES}
        return {file: path for file, path in paths.items() if os.path.exists(path)}

    def endpoint(self, name: str) -> Endpoint:
        found = self.load(name).get("Endpoints", {}).get(ENDPOINT, {})
        files = self.tls_files(name)
        skip = bool(found.get("SkipTLSVerify"))
        tls = None
        if files or skip:
            tls = TlsFiles(files.get("ca.pem", ""), files.get("cert.pem", ""), files.get("key.pem", ""), not skip)
        return Endpoint(found.get("Host", ""), tls)

    def save(self, name: str, meta: Meta, tls: dict[str, bytes] | None) -> None:
        """`tls` replaces the TLS files; None leaves them."""
        meta_directory, tls_directory = self.directories(name)
        os.makedirs(meta_directory, mode=0o755, exist_ok=True)
        temporary = os.path.join(meta_directory, f".meta.{os.getpid()}")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(meta, file, separators=(",", ":"))
        os.replace(temporary, os.path.join(meta_directory, "meta.json"))
        if tls is None:
            return
        shutil.rmtree(tls_directory, ignore_errors=True)
        for file_name, content in tls.items():
            os.makedirs(os.path.join(tls_directory, ENDPOINT), mode=0o700, exist_ok=True)
            path = os.path.join(tls_directory, ENDPOINT, file_name)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as key:
                key.write(content)

    def remove(self, name: str) -> None:
        for directory in self.directories(name):
            shutil.rmtree(directory, ignore_errors=True)
