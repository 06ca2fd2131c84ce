"""Endpoints of volumes; those from `volume_rename` on are Sampan's alone."""

from __future__ import annotations

from .call import Call, Stream, decode_bytes, decode_json, decode_nothing, endpoint, streaming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .call import Payload
    from .types import Filters, Json, Volume, VolumeList


@endpoint
def volume_list(filters: Filters | None = None) -> Call[VolumeList]:
    return Call("GET", "/volumes", {"filters": filters}, decode=decode_json)


@endpoint
def volume_inspect(name: str) -> Call[Volume]:
    return Call("GET", f"/volumes/{name}", decode=decode_json)


@endpoint
def volume_create(config: Json) -> Call[Volume]:
    return Call("POST", "/volumes/create", json_body=config, decode=decode_json)


@endpoint
def volume_remove(name: str, force: bool = False) -> Call[None]:
    return Call("DELETE", f"/volumes/{name}", {"force": force}, decode=decode_nothing)


@endpoint
def volume_prune(filters: Filters | None = None) -> Call[Json]:
    return Call("POST", "/volumes/prune", {"filters": filters}, decode=decode_json)


@endpoint
def volume_rename(name: str, new: str) -> Call[Volume]:
    """Another name for a volume that no container has."""
    return Call("POST", f"/sampan/volumes/{name}/rename", {"to": new}, decode=decode_json)


@endpoint
def volume_copy(name: str, new: str) -> Call[Volume]:
    """A new volume with the same options, labels and data."""
    return Call("POST", f"/sampan/volumes/{name}/copy", {"to": new}, decode=decode_json)


@endpoint
def volume_snapshots(name: str) -> Call[list[str]]:
    """The names of a volume's snapshots."""
    return Call("GET", f"/sampan/volumes/{name}/snapshots", decode=decode_json)


@endpoint
def volume_snapshot(name: str, snapshot: str) -> Call[None]:
    """Keep the volume's present state under a name."""
    return Call("POST", f"/sampan/volumes/{name}/snapshots", {"name": snapshot}, decode=decode_nothing)


@endpoint
def volume_snapshot_remove(name: str, snapshot: str) -> Call[None]:
    return Call("DELETE", f"/sampan/volumes/{name}/snapshots/{snapshot}", decode=decode_nothing)


@endpoint
def volume_restore(name: str, snapshot: str) -> Call[None]:
    """Back to a snapshot's state; Conflict while a running container has the volume."""
    return Call("POST", f"/sampan/volumes/{name}/restore", {"snapshot": snapshot}, decode=decode_nothing)


@streaming
def volume_export(name: str) -> Stream[bytes]:
    """The volume's data as a tar."""
    return Stream("GET", f"/sampan/volumes/{name}/data", decode=decode_bytes)


@endpoint
def volume_import(name: str, body: Payload) -> Call[None]:
    """A tar, compressed or not, into a volume; it is made when it does not exist."""
    headers = {"Content-Type": "application/x-tar"}
    return Call("PUT", f"/sampan/volumes/{name}/data", body=body, headers=headers, decode=decode_nothing)
