"""Endpoints of the daemon itself, and of the things that only a swarm has."""

from __future__ import annotations

from .call import Call, Stream, decode_json, decode_nothing, endpoint, streaming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .types import Event, Filters, Json


def ping_call() -> Call[None]:
    """Unversioned; the answer's headers tell the API version."""
    return Call("HEAD", "/_ping", decode=decode_nothing, versioned=False)


@endpoint
def version() -> Call[Json]:
    return Call("GET", "/version", decode=decode_json)


@endpoint
def info() -> Call[Json]:
    return Call("GET", "/info", decode=decode_json)


@endpoint
def disk_usage(types: list[str] | None = None) -> Call[Json]:
    return Call("GET", "/system/df", {"type": types}, decode=decode_json)


@endpoint
def login(auth: Json) -> Call[Json]:
    return Call("POST", "/auth", json_body=auth, decode=decode_json)


@streaming
def events(since: str | None = None, until: str | None = None, filters: Filters | None = None) -> Stream[Event]:
    query = {"since": since, "until": until, "filters": filters}
    return Stream("GET", "/events", query, decode=decode_json)


@endpoint
def plugin_list(filters: Filters | None = None) -> Call[list[Json]]:
    return Call("GET", "/plugins", {"filters": filters}, decode=decode_json)


@endpoint
def plugin_inspect(name: str) -> Call[Json]:
    return Call("GET", f"/plugins/{name}/json", decode=decode_json)


@endpoint
def secret_create(spec: Json) -> Call[Json]:
    """`spec`: Name, Labels, Data (base64)."""
    return Call("POST", "/secrets/create", json_body=spec, decode=decode_json)


@endpoint
def secret_remove(ref: str) -> Call[None]:
    return Call("DELETE", f"/secrets/{ref}", decode=decode_nothing)


@endpoint
def swarm_inspect(kind: str, ref: str) -> Call[Json]:
    return Call("GET", f"/{kind}/{ref}", decode=decode_json)


@endpoint
def swarm_objects(kind: str, filters: Filters | None = None) -> Call[list[Json]]:
    """`kind`: nodes, services, tasks, secrets, configs."""
    return Call("GET", f"/{kind}", {"filters": filters}, decode=decode_json)
