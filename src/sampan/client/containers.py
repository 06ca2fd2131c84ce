"""Endpoints of containers and execs."""

from __future__ import annotations

from .call import UPGRADE, Call, Hijack, Stream, decode_bytes, decode_json, decode_nothing, endpoint, streaming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .call import Payload
    from .types import (
        Change,
        ContainerInspect,
        ContainerSummary,
        Created,
        ExecInspect,
        Filters,
        Json,
        Top,
        WaitResult,
    )


def _post(path: str, **query: Any) -> Call[None]:
    return Call("POST", path, query, decode=decode_nothing)


@endpoint
def container_list(
    all: bool = False, limit: int | None = None, size: bool = False, filters: Filters | None = None
) -> Call[list[ContainerSummary]]:
    query = {"all": all, "limit": limit, "size": size, "filters": filters}
    return Call("GET", "/containers/json", query, decode=decode_json)


@endpoint
def container_create(config: Json, name: str | None = None, platform: str | None = None) -> Call[Created]:
    query = {"name": name, "platform": platform}
    return Call("POST", "/containers/create", query, json_body=config, decode=decode_json)


@endpoint
def container_inspect(ref: str, size: bool = False) -> Call[ContainerInspect]:
    return Call("GET", f"/containers/{ref}/json", {"size": size}, decode=decode_json)


@endpoint
def container_start(ref: str, detach_keys: str | None = None) -> Call[None]:
    return _post(f"/containers/{ref}/start", detachKeys=detach_keys)


@endpoint
def container_stop(ref: str, timeout: int | None = None, signal: str | None = None) -> Call[None]:
    return _post(f"/containers/{ref}/stop", t=timeout, signal=signal)


@endpoint
def container_restart(ref: str, timeout: int | None = None, signal: str | None = None) -> Call[None]:
    return _post(f"/containers/{ref}/restart", t=timeout, signal=signal)


@endpoint
def container_kill(ref: str, signal: str | None = None) -> Call[None]:
    return _post(f"/containers/{ref}/kill", signal=signal)


@endpoint
def container_pause(ref: str) -> Call[None]:
    return _post(f"/containers/{ref}/pause")


@endpoint
def container_unpause(ref: str) -> Call[None]:
    return _post(f"/containers/{ref}/unpause")


@endpoint
def container_rename(ref: str, name: str) -> Call[None]:
    return _post(f"/containers/{ref}/rename", name=name)


@endpoint
def container_resize(ref: str, height: int, width: int) -> Call[None]:
    return _post(f"/containers/{ref}/resize", h=height, w=width)


@endpoint
def container_update(ref: str, changes: Json) -> Call[Json]:
    return Call("POST", f"/containers/{ref}/update", json_body=changes, decode=decode_json)


@endpoint
def container_remove(ref: str, force: bool = False, volumes: bool = False, link: bool = False) -> Call[None]:
    query = {"force": force, "v": volumes, "link": link}
    return Call("DELETE", f"/containers/{ref}", query, decode=decode_nothing)


@endpoint
def container_wait(ref: str, condition: str | None = None) -> Call[WaitResult]:
    return Call("POST", f"/containers/{ref}/wait", {"condition": condition}, decode=decode_json)


@endpoint
def container_top(ref: str, ps_args: str | None = None) -> Call[Top]:
    return Call("GET", f"/containers/{ref}/top", {"ps_args": ps_args}, decode=decode_json)


@endpoint
def container_changes(ref: str) -> Call[list[Change] | None]:
    return Call("GET", f"/containers/{ref}/changes", decode=decode_json)


@endpoint
def container_prune(filters: Filters | None = None) -> Call[Json]:
    return Call("POST", "/containers/prune", {"filters": filters}, decode=decode_json)


@streaming
def container_logs(
    ref: str,
    follow: bool = False,
    since: str | None = None,
    until: str | None = None,
    timestamps: bool = False,
    tail: str | None = None,
    details: bool = False,
    stdout: bool = True,
    stderr: bool = True,
) -> Stream[bytes]:
    """Raw bytes with a TTY, else multiplexed frames."""
    query = {
        "follow": follow,
        "stdout": stdout,
        "stderr": stderr,
        "since": since,
        "until": until,
        "timestamps": timestamps,
        "tail": tail,
        "details": details,
    }
    return Stream("GET", f"/containers/{ref}/logs", query, decode=decode_bytes)


@streaming
def container_stats(ref: str, stream: bool = True, one_shot: bool = False) -> Stream[Json]:
    query = {"stream": "1" if stream else "0", "one-shot": one_shot}
    return Stream("GET", f"/containers/{ref}/stats", query, decode=decode_json)


@streaming
def container_export(ref: str) -> Stream[bytes]:
    return Stream("GET", f"/containers/{ref}/export", decode=decode_bytes)


@streaming
def container_archive(ref: str, path: str) -> Stream[bytes]:
    """A tar of `path`."""
    return Stream("GET", f"/containers/{ref}/archive", {"path": path}, decode=decode_bytes)


@endpoint
def container_put_archive(
    ref: str, path: str, tar: Payload, copy_uid_gid: bool = False, no_overwrite_dir_non_dir: bool = True
) -> Call[None]:
    query = {
        "path": path,
        "copyUIDGID": copy_uid_gid,
        "noOverwriteDirNonDir": "true" if no_overwrite_dir_non_dir else None,
    }
    headers = {"Content-Type": "application/x-tar"}
    return Call("PUT", f"/containers/{ref}/archive", query, body=tar, headers=headers, decode=decode_nothing)


def stat_call(ref: str, path: str) -> Call[None]:
    """The answer is in a header: see `decode_path_stat`."""
    return Call("HEAD", f"/containers/{ref}/archive", {"path": path}, decode=decode_nothing)


def decode_path_stat(headers: dict[str, str]) -> Any:
    from binascii import a2b_base64

    return decode_json(a2b_base64(headers["x-docker-container-path-stat"]))


@endpoint
def container_commit(config: Json, **query: Any) -> Call[Json]:
    """`query`: container, repo, tag, comment, author, pause, changes."""
    return Call("POST", "/commit", query, json_body=config, decode=decode_json)


@endpoint
def exec_create(ref: str, config: Json) -> Call[Json]:
    return Call("POST", f"/containers/{ref}/exec", json_body=config, decode=decode_json)


@endpoint
def exec_inspect(exec_id: str) -> Call[ExecInspect]:
    return Call("GET", f"/exec/{exec_id}/json", decode=decode_json)


@endpoint
def exec_start_detached(exec_id: str) -> Call[None]:
    return Call("POST", f"/exec/{exec_id}/start", json_body={"Detach": True}, decode=decode_nothing)


@endpoint
def exec_resize(exec_id: str, height: int, width: int) -> Call[None]:
    return _post(f"/exec/{exec_id}/resize", h=height, w=width)


def exec_start_call(exec_id: str, tty: bool, console_size: tuple[int, int] | None = None) -> Hijack:
    body: Json = {"Detach": False, "Tty": tty}
    if console_size is not None:
        body["ConsoleSize"] = list(console_size)
    return Hijack("POST", f"/exec/{exec_id}/start", json_body=body, headers=UPGRADE, decode=decode_nothing)


def attach_call(
    ref: str, stdin: bool, stdout: bool, stderr: bool, logs: bool = False, detach_keys: str | None = None
) -> Hijack:
    query = {
        "stream": True,
        "stdin": stdin,
        "stdout": stdout,
        "stderr": stderr,
        "logs": logs,
        "detachKeys": detach_keys,
    }
    headers = {**UPGRADE, "Content-Type": "text/plain"}
    return Hijack("POST", f"/containers/{ref}/attach", query, headers=headers, decode=decode_nothing)
