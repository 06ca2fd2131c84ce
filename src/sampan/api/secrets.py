"""Secrets without Swarm, at the paths and in the shapes that Docker's clients have for Swarm's."""

from __future__ import annotations

from ..engine import secrets
from ..wire import secrets as wire
from .call import Call


def document(secret: secrets.Secret) -> wire.Secret:
    """A secret as the API shows it: never its value."""
    spec = wire.SecretSpec(name=secret.name, labels=secret.labels)
    return wire.Secret(id=secret.id, created_at=secret.created, updated_at=secret.created, spec=spec)


async def list_secrets(call: Call) -> None:
    found = secrets.list_secrets(call.engine, call.query.filters())
    await call.json([document(secret) for secret in found])


async def create(call: Call) -> None:
    request = await call.body(wire.SecretCreate)
    made = secrets.create(call.engine, request.name, request.data, request.labels)
    await call.json({"ID": made.id}, 201)


async def inspect(call: Call) -> None:
    await call.json(document(secrets.get(call.engine, call.path["id"])))


async def remove(call: Call) -> None:
    secrets.remove(call.engine, call.path["id"])
    await call.empty()
