"""Endpoints of images, builds and the registry behind the daemon."""

from __future__ import annotations

from binascii import b2a_base64

from sampan.rpc import documents

from .call import UPGRADE, Call, Hijack, Stream, decode_bytes, decode_json, decode_nothing, endpoint, streaming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .call import Payload
    from .types import Filters, ImageSummary, Json, Progress


AUTH_HEADER = "X-Registry-Auth"
TAR = {"Content-Type": "application/x-tar"}


def _auth(auth: str | None) -> dict[str, str]:
    return {AUTH_HEADER: auth} if auth else {}


@endpoint
def image_list(
    all: bool = False,
    filters: Filters | None = None,
    shared_size: bool = False,
    digests: bool = False,
    manifests: bool = False,
) -> Call[list[ImageSummary]]:
    query = {
        "all": all,
        "filters": filters,
        "shared-size": shared_size,
        "digests": digests,
        "manifests": manifests,
    }
    return Call("GET", "/images/json", query, decode=decode_json)


@endpoint
def image_inspect(ref: str, platform: Json | None = None, manifests: bool = False) -> Call[Json]:
    query = {"platform": platform, "manifests": manifests}
    return Call("GET", f"/images/{ref}/json", query, decode=decode_json)


@endpoint
def image_history(ref: str, platform: Json | None = None) -> Call[list[Json]]:
    return Call("GET", f"/images/{ref}/history", {"platform": platform}, decode=decode_json)


@endpoint
def image_tag(ref: str, repo: str, tag: str | None = None) -> Call[None]:
    return Call("POST", f"/images/{ref}/tag", {"repo": repo, "tag": tag}, decode=decode_nothing)


@endpoint
def image_remove(
    ref: str, force: bool = False, no_prune: bool = False, platforms: list[str] | None = None
) -> Call[list[Json]]:
    query = {"force": force, "noprune": no_prune, "platforms": platforms}
    return Call("DELETE", f"/images/{ref}", query, decode=decode_json)


@endpoint
def image_prune(filters: Filters | None = None) -> Call[Json]:
    return Call("POST", "/images/prune", {"filters": filters}, decode=decode_json)


@endpoint
def image_search(
    term: str, limit: int | None = None, filters: Filters | None = None, auth: str | None = None
) -> Call[list[Json]]:
    query = {"term": term, "limit": limit, "filters": filters}
    return Call("GET", "/images/search", query, headers=_auth(auth), decode=decode_json)


@streaming
def image_pull(
    repo: str, tag: str | None = None, platform: str | None = None, auth: str | None = None
) -> Stream[Progress]:
    query = {"fromImage": repo, "tag": tag, "platform": platform}
    return Stream("POST", "/images/create", query, headers=_auth(auth), decode=decode_json)


@streaming
def image_push(
    repo: str, tag: str | None = None, platform: Json | None = None, auth: str | None = None
) -> Stream[Progress]:
    query = {"tag": tag, "platform": platform}
    # The daemon insists on the header; "e30=" is an empty object.
    headers = {AUTH_HEADER: auth or "e30="}
    return Stream("POST", f"/images/{repo}/push", query, headers=headers, decode=decode_json)


@streaming
def image_import(
    source: str,
    tar: Payload = None,
    repo: str | None = None,
    tag: str | None = None,
    message: str | None = None,
    changes: list[str] | None = None,
    platform: str | None = None,
) -> Stream[Progress]:
    query = {
        "fromSrc": source,
        "repo": repo,
        "tag": tag,
        "message": message,
        "changes": changes,
        "platform": platform,
    }
    return Stream("POST", "/images/create", query, body=tar, headers=TAR, decode=decode_json)


@streaming
def image_load(tar: Payload, quiet: bool = False, platform: list[Json] | None = None) -> Stream[Progress]:
    query = {"quiet": "1" if quiet else "0", "platform": platform}
    return Stream("POST", "/images/load", query, body=tar, headers=TAR, decode=decode_json)


@streaming
def image_save(refs: list[str], platform: list[Json] | None = None) -> Stream[bytes]:
    query = {"names": refs, "platform": platform}
    return Stream("GET", "/images/get", query, decode=decode_bytes)


@endpoint
def system_check(repair: bool = False, verify: bool = True) -> Call[Json]:
    """Stray, missing and damaged blobs and layers (Sampan only)."""
    return Call("POST", "/system/check", {"repair": repair, "verify": "1" if verify else "0"}, decode=decode_json)


@streaming
def system_migrate(path: str) -> Stream[Progress]:
    """Take over what a Docker data-root on the daemon's host holds (Sampan only)."""
    return Stream("POST", "/sampan/migrate", {"path": path}, decode=decode_json)


@streaming
def image_bootstrap(name: str) -> Stream[Progress]:
    """Make a base image from the host distribution's own packages (Sampan only)."""
    return Stream("POST", "/images/bootstrap", {"name": name}, decode=decode_json)


@streaming
def build(
    context: Payload, query: dict[str, Any], registry_config: str | None = None, extras: dict[str, Any] | None = None
) -> Stream[Progress]:
    """`query` as in POST /build; `extras` are what only Sampan's daemon understands (docs/build.md)."""
    headers = {**TAR, **({"X-Registry-Config": registry_config} if registry_config else {})}
    if extras:
        headers["X-Sampan-Build"] = b2a_base64(documents.dumps(extras).encode(), newline=False).decode()
    return Stream("POST", "/build", query, body=context, headers=headers, decode=decode_json)


@endpoint
def build_session(secrets: dict[str, str]) -> Call[Json]:
    """Hand secrets (base64 by id) over to a build to come (Sampan only)."""
    return Call("POST", "/sampan/builds", json_body={"Secrets": secrets}, decode=decode_json)


@endpoint
def build_context(session: str, name: str, tar: Payload) -> Call[None]:
    """Send a named context for that build (Sampan only)."""
    path = f"/sampan/builds/{session}/contexts/{name}"
    return Call("PUT", path, body=tar, headers=TAR, decode=decode_nothing)


@streaming
def build_cache(delivery: str, number: int) -> Stream[bytes]:
    """A cache of `--cache-to type=local` as an OCI layout (Sampan only)."""
    return Stream("GET", f"/sampan/builds/{delivery}/cache", {"number": number}, decode=decode_bytes)


@endpoint
def build_manifest(session: str, name: str, files: list[list[Any]]) -> Call[Json]:
    """Tell what a context consists of; the answer says which contents the daemon lacks (Sampan only)."""
    import json  # its writer in C: for thousands of rows ours takes ten times as long

    path = f"/sampan/builds/{session}/contexts/{name}/manifest"
    body = json.dumps({"Files": files}, separators=(",", ":")).encode()
    return Call("POST", path, body=body, headers={"Content-Type": "application/json"}, decode=decode_json)


@endpoint
def build_contents(session: str, name: str, contents: Payload) -> Call[Json]:
    """Send those contents; the answer says which have changed meanwhile (Sampan only)."""
    path = f"/sampan/builds/{session}/contexts/{name}/contents"
    return Call("PUT", path, body=contents, decode=decode_json)


@endpoint
def build_file(session: str, number: int, contents: Payload) -> Call[None]:
    """A file that the daemon has asked for over that connection (Sampan only)."""
    return Call("PUT", f"/sampan/builds/{session}/files/{number}", body=contents, decode=decode_nothing)


@endpoint
def build_no_file(session: str, number: int) -> Call[None]:
    """There is no such file (Sampan only)."""
    return Call("DELETE", f"/sampan/builds/{session}/files/{number}", decode=decode_nothing)


def build_watch_call(session: str) -> Hijack:
    """A connection for as long as that build and what comes of it are wanted (Sampan only)."""
    headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
    return Hijack("POST", f"/sampan/builds/{session}/watch", headers=headers, decode=decode_nothing)


def build_agent_call(session: str, name: str) -> Hijack:
    """Offer a connection to our ssh agent to that build (Sampan only)."""
    return Hijack("POST", f"/sampan/builds/{session}/ssh/{name}", headers=UPGRADE, decode=decode_nothing)


@streaming
def build_tree(session: str, platform: str = "") -> Stream[bytes]:
    """The file tree of what was built, as one tar archive (Sampan only)."""
    return Stream("GET", f"/sampan/builds/{session}/tree", {"platform": platform or None}, decode=decode_bytes)


@streaming
def build_archive(session: str, names: list[str]) -> Stream[bytes]:
    """What was built as an OCI layout with these names (Sampan only)."""
    return Stream("GET", f"/sampan/builds/{session}/archive", {"names": names}, decode=decode_bytes)


@endpoint
def build_end(session: str) -> Call[None]:
    """Nothing more is wanted of what was built (Sampan only)."""
    return Call("DELETE", f"/sampan/builds/{session}", decode=decode_nothing)


@endpoint
def build_cancel(identity: str) -> Call[None]:
    """End a build by its `buildid`."""
    return Call("POST", "/build/cancel", {"id": identity}, decode=decode_nothing)


@endpoint
def build_prune(all: bool = False, filters: Filters | None = None, keep_storage: int | None = None) -> Call[Json]:
    query = {"all": all, "filters": filters, "keep-storage": keep_storage}
    return Call("POST", "/build/prune", query, decode=decode_json)


@endpoint
def distribution_inspect(ref: str, auth: str | None = None) -> Call[Json]:
    return Call("GET", f"/distribution/{ref}/json", headers=_auth(auth), decode=decode_json)
