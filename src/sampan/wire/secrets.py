"""Secrets, in the shape that Docker's clients know from Swarm."""

from __future__ import annotations

from msgspec import Struct, field


class SecretSpec(Struct, rename="pascal", kw_only=True):
    """What a secret is made of; `data` is base64 and never shown."""

    name: str = ""
    labels: dict[str, str] | None = None


class SecretCreate(SecretSpec, rename="pascal", kw_only=True):
    """The body of `POST /secrets/create`; `data` is decoded from base64."""

    data: bytes = b""


class Version(Struct, rename="pascal", frozen=True):
    index: int = 1


class Secret(Struct, rename="pascal", kw_only=True):
    """One secret as it is shown."""

    id: str = field(name="ID")
    version: Version = Version()
    created_at: str
    updated_at: str
    spec: SecretSpec
