"""Secrets without Swarm: sealed at rest, files on a tmpfs in the containers that ask for them.

A container asks by the annotation `dev.sampan.secrets`: a comma-separated list of `name[:target[:mode]]`; the target is
a path, or a name below /run/secrets, the mode octal (0444). Annotations are the user's own: no image can bring them.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import secrets as random
from collections.abc import Sequence

from msgspec import Struct

from ..db import Row
from ..errors import Conflict, InvalidArgument, NotFound
from ..linux import mount as mounting
from ..model.container import HostConfig
from ..model.filters import Filters, has_label
from ..model.filters import check as check_filters
from ..model.times import now
from ..runtime.bundle import BundleMount
from . import userns
from .container import Container
from .engine import Engine
from .sealing import Sealer

ANNOTATION = "dev.sampan.secrets"
DIRECTORY = "/run/secrets"
LARGEST = 500 * 1024
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-_.]{0,62}[a-zA-Z0-9])?")


class Secret(Struct, frozen=True):
    """What may be shown of a secret."""

    id: str
    name: str
    created: str
    labels: dict[str, str]


class Request(Struct, frozen=True):
    """One secret as a container asks for it."""

    name: str
    target: str
    mode: int


def create(engine: Engine, name: str, data: bytes, labels: dict[str, str] | None = None) -> Secret:
    """Keep a secret; Conflict when the name is in use, InvalidArgument with Docker's texts."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, "
            "and the start and end character must be [a-zA-Z0-9]"
        )
    if not 0 < len(data) < LARGEST:
        raise InvalidArgument(f"secret data must be larger than 0 and less than {LARGEST} bytes")
    if engine.db.one("SELECT id FROM secret WHERE name = ?", (name,)) is not None:
        raise Conflict(f"secret {name} already exists")
    made = Secret(random.token_hex(13)[:25], name, now(), dict(labels or {}))
    engine.db.execute(
        "INSERT INTO secret (id, name, created, labels, sealed) VALUES (?, ?, ?, ?, ?)",
        (made.id, name, made.created, json.dumps(made.labels), _sealer(engine).seal(data, name.encode())),
    )
    engine.events.publish("secret", "create", made.id, {"name": name})
    return made


def _sealer(engine: Engine) -> Sealer:
    return Sealer(f"{engine.paths.data_root}/secrets.key")


def list_secrets(engine: Engine, filters: Filters | None = None) -> list[Secret]:
    """All secrets by name; filters `id`, `name` (prefixes) and `label`."""
    found = [_secret(row) for row in engine.db.query("SELECT * FROM secret ORDER BY name")]
    check_filters(filters or {}, ("id", "name", "label"))
    for kind, values in (filters or {}).items():
        found = [secret for secret in found if _matches(secret, kind, values)]
    return found


def _matches(secret: Secret, kind: str, values: Sequence[str]) -> bool:
    if kind == "label":
        return all(has_label(secret.labels, value) for value in values)
    return any(getattr(secret, kind).startswith(value) for value in values)


def get(engine: Engine, ref: str) -> Secret:
    """By name, id, or unique prefix of the id."""
    return _secret(_row(engine, ref))


def _row(engine: Engine, ref: str) -> Row:
    row = engine.db.one("SELECT * FROM secret WHERE name = ? OR id = ?", (ref, ref))
    if row is not None:
        return row
    rows = engine.db.query("SELECT * FROM secret WHERE substr(id, 1, ?) = ?", (len(ref), ref)) if ref else []
    if len(rows) != 1:
        raise NotFound(f"secret {ref} not found")
    return rows[0]


def _secret(row: Row) -> Secret:
    return Secret(row["id"], row["name"], row["created"], json.loads(row["labels"]))


def remove(engine: Engine, ref: str) -> None:
    """Forget a secret; Conflict while a container asks for it."""
    secret = get(engine, ref)
    users = [one.name for one in engine.containers if secret.name in {want.name for want in asked(one.host_config)}]
    if users:
        raise Conflict(f"secret '{secret.name}' is in use by the following containers: {', '.join(users)}")
    engine.db.execute("DELETE FROM secret WHERE id = ?", (secret.id,))
    engine.events.publish("secret", "remove", secret.id, {"name": secret.name})


def asked(host: HostConfig) -> list[Request]:
    """What a container asks for; InvalidArgument where that makes no sense."""
    annotations = host.annotations if isinstance(host.annotations, dict) else {}
    return [_parse(word) for word in annotations.get(ANNOTATION, "").split(",") if word.strip()]


def _parse(word: str) -> Request:
    name, target, mode, *rest = [*word.strip().split(":"), "", ""][:4]
    path = posixpath.normpath(posixpath.join(DIRECTORY, target or name))
    if (rest and rest[0]) or not re.fullmatch(r"[0-7]{0,4}", mode) or path in ("/", DIRECTORY):
        raise InvalidArgument(f"invalid secret {word!r}: want name[:target[:mode]]")
    return Request(name, path, int(mode or "444", 8))


def check(engine: Engine, host: HostConfig) -> None:
    """At create: every secret that is asked for exists."""
    for request in asked(host):
        get(engine, request.name)


def mounts(engine: Engine, container: Container) -> list[BundleMount]:
    """At start: the secrets as files on a tmpfs of the container's own, each bound to its target, read-only."""
    requests = asked(container.host_config)
    if not requests:
        return []
    directory = _tmpfs(engine, container)
    owner = userns.root(engine, container)
    return [_place(engine, directory, index, request, owner) for index, request in enumerate(requests)]


def _tmpfs(engine: Engine, container: Container) -> str:
    directory = f"{engine.paths.container(container.id)}/secrets"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if not os.path.ismount(directory):
        flags = mounting.MS_NOSUID | mounting.MS_NOEXEC | mounting.MS_NODEV
        mounting.mount("tmpfs", directory, "tmpfs", flags, "mode=700,size=64m")
    return directory


def _place(engine: Engine, directory: str, index: int, request: Request, owner: tuple[int, int]) -> BundleMount:
    row = _row(engine, request.name)
    path = f"{directory}/{index}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(_sealer(engine).open(row["sealed"], row["name"].encode()))
        os.fchown(fd, *owner)
        os.fchmod(fd, request.mode)
    return BundleMount(request.target, "bind", path, ("bind", "ro", "nosuid", "nodev", "noexec", "rprivate"))


def release(engine: Engine, container: Container) -> None:
    """At exit: the tmpfs goes, and the plain text with it."""
    directory = f"{engine.paths.container(container.id)}/secrets"
    if os.path.ismount(directory):
        mounting.umount2(directory, mounting.MNT_DETACH)
