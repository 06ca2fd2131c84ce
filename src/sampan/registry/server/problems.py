"""Errors of the registry's API (distribution-spec, «Error Codes»)."""

from __future__ import annotations

from typing import Any

import msgspec


class Problem(Exception):
    """One error of the API: HTTP status, code, message, and headers that belong to it."""

    def __init__(self, status: int, code: str, message: str, detail: Any = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> bytes:
        """The error document."""
        return msgspec.json.encode({"errors": [{"code": self.code, "message": self.message, "detail": self.detail}]})


def blob_unknown(digest: str) -> Problem:
    return Problem(404, "BLOB_UNKNOWN", "blob unknown to registry", {"digest": digest})


def manifest_unknown(reference: str) -> Problem:
    return Problem(404, "MANIFEST_UNKNOWN", "manifest unknown", {"reference": reference})


def name_unknown(name: str) -> Problem:
    return Problem(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name})


def name_invalid(name: str) -> Problem:
    return Problem(400, "NAME_INVALID", "invalid repository name", {"name": name})


def digest_invalid(detail: str) -> Problem:
    return Problem(400, "DIGEST_INVALID", "provided digest did not match uploaded content", detail)


def upload_unknown(upload: str) -> Problem:
    return Problem(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", {"upload": upload})


def unsupported(message: str = "the operation is unsupported") -> Problem:
    return Problem(405, "UNSUPPORTED", message)
