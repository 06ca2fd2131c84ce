"""What was built from what, as BuildKit states it: in-toto statements with SLSA provenance v0.2, kept with the image.

index ─┬─ manifest of the image
       └─ attestation manifest (platform unknown/unknown) ── config, statement
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import reference
from ..oci.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference
from .graph import (
    Action,
    Copy,
    Exec,
    Files,
    GitSource,
    HttpSource,
    ImageSource,
    LocalSource,
    MakeDirectory,
    MakeFile,
    MakeLink,
    Mount,
    Remove,
    Vertex,
    walk,
)
from .imageform import Provenance

PREDICATE = "https://slsa.dev/provenance/v0.2"
STATEMENT = "https://in-toto.io/Statement/v0.1"
IN_TOTO = "application/vnd.in-toto+json"
BUILD_TYPE = "https://mobyproject.org/buildkit@v1"
_METADATA = f"{BUILD_TYPE}#metadata"
_UNKNOWN = Platform(os="unknown", architecture="unknown")
_MOUNTS = {"secret": 1, "ssh": 2, "cache": 3, "tmpfs": 4}


class Material(NamedTuple):
    """Something that was fetched; `algorithm` is sha256, or sha1 of a commit."""

    uri: str
    algorithm: str
    digest: str


class Facts(NamedTuple):
    """One build: what was asked for, when it began and ended (seconds since the epoch), what it fetched."""

    dockerfile_name: str
    dockerfile: str
    frontend: dict[str, str]
    """What the front end was told beside build arguments and labels."""
    arguments: dict[str, str]
    """Build arguments and labels, which only a complete statement shows."""
    secrets: Sequence[str]
    agents: Sequence[str]
    has_context: bool
    began: float
    ended: float
    fetched: Sequence[Material]


def predicate(
    facts: Facts, top: Vertex, platform: Platform, images: Sequence[Material], asked: Provenance
) -> dict[str, Any]:
    """The provenance of one image."""
    parameters: dict[str, Any] = {"frontend": "dockerfile.v0"}
    arguments = facts.frontend | (facts.arguments if asked.complete else {})
    if arguments:
        parameters["args"] = dict(sorted(arguments.items()))
    if asked.complete and facts.secrets:
        parameters["secrets"] = [{"id": name, "optional": True} for name in sorted(facts.secrets)]
    if asked.complete and facts.agents:
        parameters["ssh"] = [{"id": name, "optional": True} for name in sorted(facts.agents)]
    parameters["locals"] = [{"name": name} for name in (("context",) if facts.has_context else ()) + ("dockerfile",)]
    found: dict[str, Any] = {
        "builder": {"id": asked.builder_id}, "buildType": BUILD_TYPE,
        "materials": [{"uri": one.uri, "digest": {one.algorithm: one.digest}} for one in (*images, *facts.fetched)],
        "invocation": {
            "configSource": {"entryPoint": facts.dockerfile_name}, "parameters": parameters,
            "environment": {"platform": str(platform.normalized())},
        },
    }  # fmt: skip
    steps = list(walk(top))
    if asked.complete:
        found["buildConfig"] = {"llbDefinition": _definition(steps)}
    has_local = any(isinstance(step.op, LocalSource) for step in steps)
    found["metadata"] = {
        "buildInvocationID": token_hex(12),
        "buildStartedOn": _moment(facts.began), "buildFinishedOn": _moment(facts.ended),
        "completeness": {"parameters": True, "environment": True, "materials": not has_local},
        "reproducible": asked.reproducible, _METADATA: _source(facts, steps) if asked.complete else {},
    }  # fmt: skip
    return found


def image_material(source: ImageSource, digest: str) -> Material:
    """A base image by the digest of its manifest."""
    return Material(_purl(reference.parse(source.reference).with_default_tag(), source.platform), "sha256",
                    digests.encoded(digest))  # fmt: skip


def _purl(name: Reference, platform: Platform) -> str:
    """A package URL (package-url spec, type docker)."""
    qualifier = quote(str(platform.normalized()), safe="")
    return f"pkg:docker/{quote(name.familiar_name, safe='/:')}@{name.tag}?platform={qualifier}"


def public(url: str) -> str:
    """A URL without what it may have of credentials."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.scheme else url


class Attestation(NamedTuple):
    """The documents of one image's attestations; the first is the manifest, which names the others."""

    manifest: bytes
    config: bytes
    statement: bytes

    def entry(self, about: str) -> Descriptor:
        """What the index has of it; `about` is the digest of the image's manifest."""
        annotations = {"vnd.docker.reference.digest": about, "vnd.docker.reference.type": "attestation-manifest"}
        return manifests.describe(self.manifest, OCI_MANIFEST, annotations=annotations, platform=_UNKNOWN)


def attestation(stated: dict[str, Any], names: Sequence[Reference], platform: Platform, about: str) -> Attestation:
    """State it of the image with that manifest."""
    subject = [{"name": _purl(name, platform), "digest": {"sha256": digests.encoded(about)}} for name in names]
    statement = msgspec.json.encode(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": PREDICATE,
            "subject": subject,
            "predicate": stated,
        }
    )
    rootfs = {"type": "layers", "diff_ids": [digests.of_bytes(statement)]}
    config = msgspec.json.encode({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs})
    layer = manifests.describe(statement, IN_TOTO, annotations={"in-toto.io/predicate-type": PREDICATE})
    document = Manifest(2, manifests.describe(config, OCI_CONFIG), [layer], media_type=OCI_MANIFEST)
    return Attestation(manifests.encode(document), config, statement)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _definition(steps: Sequence[Vertex]) -> list[dict[str, Any]]:
    """The graph in the JSON form of BuildKit's LLB."""
    numbers: dict[str, int] = {}
    found = []
    for step in steps:
        if step.definition in numbers:
            continue
        numbers[step.definition] = len(numbers)
        inputs = [f"step{numbers[below.definition]}:0" for below in step.inputs]
        found.append({"id": f"step{numbers[step.definition]}", "op": {"Op": _operation(step)},
                      **({"inputs": inputs} if inputs else {})})  # fmt: skip
    return found


def _operation(step: Vertex) -> dict[str, Any]:
    operation = step.op
    match operation:
        case ImageSource():
            return {"source": {"identifier": f"docker-image://{operation.reference}"}}
        case LocalSource():
            return {"source": {"identifier": f"local://{operation.name}"}}
        case GitSource():
            return {"source": {"identifier": f"git://{public(operation.remote)}#{operation.ref}:{operation.subdir}"}}
        case HttpSource():
            return {"source": {"identifier": public(operation.url)}}
        case Exec():
            env = [pair for pair in operation.env if pair.partition("=")[0] not in step.unkeyed]
            meta = {"args": list(operation.args), "env": env, "cwd": operation.cwd}
            return {"exec": {"meta": meta, "mounts": [{"dest": "/"}, *map(_mount, operation.mounts)]}}
        case Files():
            return {"file": {"actions": [{"Action": _action(one)} for one in operation.actions]}}
    return {}


def _mount(mount: Mount) -> dict[str, Any]:
    found: dict[str, Any] = {"input": mount.input, "dest": mount.target}
    if mount.kind in _MOUNTS:
        found["mountType"] = _MOUNTS[mount.kind]
    return found


def _action(action: Action) -> dict[str, Any]:
    match action:
        case Copy():
            return {"copy": {"src": list(action.sources), "dest": action.target}}
        case MakeDirectory():
            return {"mkdir": {"path": action.path, "mode": action.mode}}
        case MakeFile():
            return {"mkfile": {"path": action.target}}
        case MakeLink():
            return {"symlink": {"oldpath": action.target, "newpath": action.path}}
        case Remove():
            return {"rm": {"path": action.path}}


def _source(facts: Facts, steps: Sequence[Vertex]) -> dict[str, Any]:
    distinct = {step.definition: step.line for step in steps}
    lines = {f"step{number}": line for number, line in enumerate(distinct.values()) if line}
    locations = {
        name: {"locations": [{"ranges": [{"start": {"line": line}, "end": {"line": line}}]}]}
        for name, line in lines.items()
    }
    data = b64encode(facts.dockerfile.encode("utf-8", "surrogateescape")).decode()
    return {"source": {"locations": locations, "infos": [
        {"filename": facts.dockerfile_name, "language": "Dockerfile", "data": data}]}}  # fmt: skip
