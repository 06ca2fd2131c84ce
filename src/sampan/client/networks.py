"""Endpoints of networks."""

from __future__ import annotations

from .call import Call, decode_json, decode_nothing, endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .types import Filters, Json, Network


@endpoint
def network_list(filters: Filters | None = None) -> Call[list[Network]]:
    return Call("GET", "/networks", {"filters": filters}, decode=decode_json)


@endpoint
def network_inspect(ref: str, verbose: bool = False, scope: str | None = None) -> Call[Network]:
    return Call("GET", f"/networks/{ref}", {"verbose": verbose, "scope": scope}, decode=decode_json)


@endpoint
def network_create(config: Json) -> Call[Json]:
    return Call("POST", "/networks/create", json_body=config, decode=decode_json)


@endpoint
def network_connect(ref: str, container: str, settings: Json | None = None) -> Call[None]:
    body = {"Container": container, "EndpointConfig": settings}
    return Call("POST", f"/networks/{ref}/connect", json_body=body, decode=decode_nothing)


@endpoint
def network_disconnect(ref: str, container: str, force: bool = False) -> Call[None]:
    body = {"Container": container, "Force": force}
    return Call("POST", f"/networks/{ref}/disconnect", json_body=body, decode=decode_nothing)


@endpoint
def network_remove(ref: str) -> Call[None]:
    return Call("DELETE", f"/networks/{ref}", decode=decode_nothing)


@endpoint
def network_prune(filters: Filters | None = None) -> Call[Json]:
    return Call("POST", "/networks/prune", {"filters": filters}, decode=decode_json)


@endpoint
def network_map() -> Call[list[Json]]:
    """Which running containers sit on which networks (Sampan only)."""
    return Call("GET", "/sampan/networks/map", decode=decode_json)


@endpoint
def network_check(source: str, target: str, port: int | None = None) -> Call[Json]:
    """Whether one running container reaches another, on a TCP port if one is given (Sampan only)."""
    query = {"from": source, "to": target, "port": port}
    return Call("GET", "/sampan/networks/check", query, decode=decode_json)
