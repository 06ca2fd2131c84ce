"""`--secret id=…,src=…`: what a build may see and must not keep."""

from __future__ import annotations

import csv
import os

from .command import CommandFailed

MAX_SECRET = 500 << 10
"""BuildKit's limit."""


def read_secret(text: str) -> tuple[str, bytes]:
    """The id and the value of one flag: a file, or a variable of our environment."""
    fields = _fields(text)
    identity = fields.get("id", "")
    kind = fields.get("type", "")
    if not identity:
        raise CommandFailed("secret missing ID")
    if kind not in ("", "file", "env"):
        raise CommandFailed(f"unsupported secret type {kind!r}")
    source = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env") or (source if kind == "env" else "")
    if not source and not variable:
        variable, source = (identity, "") if kind != "file" and identity in os.environ else ("", identity)
    if variable:
        return identity, os.environ.get(variable, "").encode("utf-8", "surrogateescape")
    return identity, _read(source)


def _fields(text: str) -> dict[str, str]:
    found = {}
    for item in next(csv.reader([text])):
        key, equals, value = item.partition("=")
        if not equals:
            raise CommandFailed(f"invalid field '{item}' must be a key=value pair")
        if key.lower() not in ("type", "id", "src", "source", "env"):
            raise CommandFailed(f"unexpected key '{key}' in '{item}'")
        found[key.lower()] = value
    return found


def _read(path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read(MAX_SECRET + 1)
    except OSError as error:
        raise CommandFailed(f"failed to stat {path}: stat {path}: {str(error.strerror).lower()}") from error
    if len(data) > MAX_SECRET:
        raise CommandFailed(f"secret {path} is larger than {MAX_SECRET} bytes")
    return data
