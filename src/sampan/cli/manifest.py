"""`manifest`: lists are put together and pushed by the client, as Docker's does; the daemon has no part in it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sampan.errors import NotFound, SampanError
from sampan.oci import manifest as manifests
from sampan.oci.reference import Reference, parse
from sampan.registry.config import AuthConfig, RegistryConfig, endpoints
from sampan.registry.failures import RegistryFailure, Unreachable
from sampan.registry.repository import Repository
from sampan.registry.transport import Transport

from . import credentials
from .command import CommandFailed, at_least, between, command, exactly
from .flags import Options, boolean, string, strings
from .manifest_store import Entry, ManifestStore

if TYPE_CHECKING:
    from .session import Session

T = TypeVar("T")
INSECURE = boolean("insecure", "Allow communication with an insecure registry")
CONFIG_LIMIT = 4 << 20


class Remote:
    """Registries as this user reaches them."""

    def __init__(self, session: Session, insecure: bool) -> None:
        self._session, self._insecure = session, insecure

    def call(self, reference: Reference, act: Callable[[Repository], Awaitable[T]]) -> T:
        """Run `act` on the repository of a reference, at the first endpoint that answers."""
        return asyncio.run(self._call(reference, act))

    async def _call(self, reference: Reference, act: Callable[[Repository], Awaitable[T]]) -> T:
        config = RegistryConfig(insecure=(reference.domain,) if self._insecure else ())
        server = credentials.server_key(reference.domain)
        auth = AuthConfig(**credentials.load(self._session.config, server))
        failure: SampanError | None = None
        for endpoint in endpoints(config, reference.domain):
            async with Transport(config, endpoint, auth) as transport:
                try:
                    await transport.ping()
                except Unreachable as error:
                    failure = error
                    continue
                return await act(Repository(transport, reference.path))
        raise failure or NotFound(f"no endpoint of {reference.domain}")


def normal(text: str) -> Reference:
    return parse(text).with_default_tag()


def _selector(reference: Reference) -> str:
    return reference.digest or reference.tag or "latest"


def fetch(remote: Remote, reference: Reference) -> tuple[list[Entry], bool]:
    """The manifest of a reference, or all those of an index; and whether it is an index."""

    async def act(repository: Repository) -> tuple[list[Entry], bool]:
        try:
            found = await repository.manifest(_selector(reference))
        except RegistryFailure as error:
            raise NotFound(f"no such manifest: {reference.familiar}") from error
        if found.descriptor.media_type not in manifests.INDEXES:
            return [await _entry(repository, str(reference), found.data, found.descriptor)], False
        entries = []
        for item in json.loads(found.data)["manifests"]:
            inner = await repository.manifest(item["digest"])
            name = f"{reference.name}@{item['digest']}"
            entries.append(await _entry(repository, name, inner.data, inner.descriptor, item.get("platform")))
        return entries, True

    return remote.call(reference, act)


async def _entry(
    repository: Repository, name: str, data: bytes, descriptor: manifests.Descriptor, platform: Any = None
) -> Entry:
    document = json.loads(data)
    if platform is None:
        platform = await _platform(repository, document)
    kind = "OCIManifest" if descriptor.media_type == manifests.OCI_MANIFEST else "SchemaV2Manifest"
    shown = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
    return {
        "Ref": name,
        "Descriptor": {**shown, "platform": platform},
        "Raw": base64.b64encode(data).decode(),
        kind: document,
    }


async def _platform(repository: Repository, document: Any) -> dict[str, str]:
    """An image says in its configuration for which platform it is."""
    config = document.get("config") or {}
    if not config:
        return {}
    blob = manifests.Descriptor(config["mediaType"], config["digest"], config["size"])
    loaded = json.loads(await repository.blob(blob, CONFIG_LIMIT))
    keys = (("architecture", "architecture"), ("os", "os"), ("os.version", "os.version"), ("variant", "variant"))
    return {name: loaded[key] for key, name in keys if loaded.get(key)}


def raw_of(entry: Entry) -> bytes:
    return base64.b64decode(entry["Raw"])


def list_document(entries: list[Entry]) -> bytes:
    """The list, in Docker's form and indentation, or an OCI index where all its manifests are OCI's."""
    is_oci = all(entry["Descriptor"]["mediaType"] == manifests.OCI_MANIFEST for entry in entries)
    found = [
        {key: entry["Descriptor"][key] for key in ("mediaType", "size", "digest", "platform")} for entry in entries
    ]
    media_type = manifests.OCI_INDEX if is_oci else manifests.DOCKER_LIST
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": found}, indent=3).encode()


@command(
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Display an image manifest, or manifest list",
    INSECURE,
    boolean("verbose", "Output additional info including layers and platform", short="v"),
    arity=between(1, 2),
)
def inspect(session: Session, options: Options, arguments: list[str]) -> int:
    store, remote = ManifestStore(session.config.directory), Remote(session, options["insecure"])
    reference = normal(arguments[-1])
    name = str(normal(arguments[0]))
    if len(arguments) == 2:
        entry = store.get(name, str(reference))
        entries, is_list = ([entry], False) if entry else fetch(remote, reference)
    elif store.exists(name):
        entries, is_list = store.entries(name), True
    else:
        entries, is_list = fetch(remote, reference)
    return _show(entries, options["verbose"], list_document(entries) if is_list else None)


def _show(entries: list[Entry], verbose: bool, document: bytes | None) -> int:
    if verbose:
        shown: Any = entries[0] if document is None else entries
        text = json.dumps(shown, indent="\t", ensure_ascii=False)
    elif document is None:
        text = json.dumps(json.loads(raw_of(entries[0])), indent="\t", ensure_ascii=False)
    else:
        text = document.decode()
    sys.stdout.write(text + "\n")
    return 0


@command(
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Create a local manifest list for annotating and pushing to a registry",
    boolean("amend", "Amend an existing manifest list", short="a"),
    INSECURE,
    arity=at_least(2),
)
def create(session: Session, options: Options, arguments: list[str]) -> int:
    store, remote = ManifestStore(session.config.directory), Remote(session, options["insecure"])
    name = normal(arguments[0])
    if store.exists(str(name)) and not options["amend"]:
        raise CommandFailed("refusing to amend an existing manifest list with no --amend flag")
    for text in arguments[1:]:
        entries, is_list = fetch(remote, normal(text))
        if is_list:
            raise CommandFailed(f"{text} is a manifest list")
        store.put(str(name), entries[0])
    session.say(f"Created manifest list {name.familiar}")
    return 0


@command(
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    "Add additional information to a local image manifest",
    string("arch", "Set architecture"),
    string("os", "Set operating system"),
    strings("os-features", "Set operating system feature"),
    string("os-version", "Set operating system version"),
    string("variant", "Set architecture variant"),
    arity=exactly(2),
)
def annotate(session: Session, options: Options, arguments: list[str]) -> int:
    store = ManifestStore(session.config.directory)
    name, reference = normal(arguments[0]), normal(arguments[1])
    entry = store.get(str(name), str(reference))
    if entry is None:
        raise CommandFailed(f"manifest for image {reference.familiar} does not exist in {name.familiar}")
    flags = {"architecture": "arch", "os": "os", "os.features": "os-features", "os.version": "os-version"}
    for key, flag in {**flags, "variant": "variant"}.items():
        if options[flag]:
            entry["Descriptor"]["platform"][key] = options[flag]
    store.put(str(name), entry)
    return 0


@command(
    "[OPTIONS] MANIFEST_LIST",
    "Push a manifest list to a repository",
    boolean("insecure", "Allow push to an insecure registry"),
    boolean("purge", "Remove the local manifest list after push", short="p"),
    arity=exactly(1),
)
def push(session: Session, options: Options, arguments: list[str]) -> int:
    store, remote = ManifestStore(session.config.directory), Remote(session, options["insecure"])
    target = normal(arguments[0])
    entries = store.entries(str(target))
    if not entries:
        raise CommandFailed(f"{target.familiar} not found")
    for entry in entries:
        if parse(entry["Ref"]).domain != target.domain:
            raise CommandFailed(
                f"cannot use source images from a different registry than the target image: {entry['Ref']}"
            )
    document = list_document(entries)
    media_type = json.loads(document)["mediaType"]

    async def act(repository: Repository) -> str:
        for entry in entries:
            await _bring(repository, entry)
        return await repository.put_manifest(_selector(target), document, media_type)

    session.say(remote.call(target, act))
    if options["purge"]:
        store.remove(str(target))
    return 0


async def _bring(repository: Repository, entry: Entry) -> None:
    """A manifest of another repository is pushed too, its blobs mounted: they lie in the same registry."""
    source, data = parse(entry["Ref"]).path, raw_of(entry)
    if source == repository.path:
        return
    document = json.loads(data)
    for blob in {item["digest"] for item in [document["config"], *document["layers"]]}:
        session = await repository.mount(blob, source)
        if session is not None:
            raise SampanError(f"the registry did not mount {blob} of {source}")
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    await repository.put_manifest(digest, data, entry["Descriptor"]["mediaType"])


@command("MANIFEST_LIST [MANIFEST_LIST...]", "Delete one or more manifest lists from local storage", arity=at_least(1))
def rm(session: Session, options: Options, arguments: list[str]) -> int:
    store, failures = ManifestStore(session.config.directory), []
    for text in arguments:
        name = normal(text)
        if store.exists(str(name)):
            store.remove(str(name))
        else:
            failures.append(f"No such manifest: {name}")
    if failures:
        raise CommandFailed("\n".join(failures))
    return 0
