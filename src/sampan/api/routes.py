"""Every route of the API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import containers, images, networks, plugins, streams, swarm, system, volumes
from .router import Handler, Route

if TYPE_CHECKING:
    from .call import Call

_LATE: dict[str, list[tuple[str, str, str]]] = {
    "beyond": [
        ("POST", "/images/bootstrap", "bootstrap"),
        ("POST", "/sampan/migrate", "migrate"),
        ("POST", "/sampan/volumes/{name}/rename", "rename_volume"),
        ("POST", "/sampan/volumes/{name}/copy", "copy_volume"),
        ("GET", "/sampan/volumes/{name}/snapshots", "list_snapshots"),
        ("POST", "/sampan/volumes/{name}/snapshots", "snapshot_volume"),
        ("DELETE", "/sampan/volumes/{name}/snapshots/{snapshot}", "remove_snapshot"),
        ("POST", "/sampan/volumes/{name}/restore", "restore_volume"),
        ("GET", "/sampan/volumes/{name}/data", "export_volume"),
        ("PUT", "/sampan/volumes/{name}/data", "import_volume"),
    ],
    "build": [
        ("POST", "/build", "build"),
        ("POST", "/build/cancel", "cancel"),
        ("POST", "/build/prune", "prune"),
        ("POST", "/sampan/builds", "begin_session"),
        ("POST", "/sampan/builds/{id}/watch", "watch_session"),
        ("PUT", "/sampan/builds/{id}/files/{number}", "answer_file"),
        ("DELETE", "/sampan/builds/{id}/files/{number}", "refuse_file"),
        ("POST", "/sampan/builds/{id}/ssh/{name}", "lend_agent"),
        ("PUT", "/sampan/builds/{id}/contexts/{name}", "send_context"),
        ("POST", "/sampan/builds/{id}/contexts/{name}/manifest", "announce_context"),
        ("PUT", "/sampan/builds/{id}/contexts/{name}/contents", "fill_context"),
        ("GET", "/sampan/builds/{id}/tree", "deliver_tree"),
        ("GET", "/sampan/builds/{id}/cache", "deliver_cache"),
        ("GET", "/sampan/builds/{id}/archive", "deliver_archive"),
        ("DELETE", "/sampan/builds/{id}", "end_session"),
    ],
    "buildkit": [
        ("POST", "/grpc", "grpc"),
        ("POST", "/session", "session"),
    ],
    "check": [
        ("POST", "/system/check", "check"),
    ],
    "files": [
        ("HEAD", "/containers/{id}/archive", "stat_path"),
        ("GET", "/containers/{id}/archive", "copy_out"),
        ("PUT", "/containers/{id}/archive", "copy_in"),
        ("GET", "/containers/{id}/changes", "show_changes"),
        ("GET", "/containers/{id}/export", "export_container"),
        ("POST", "/commit", "commit_container"),
    ],
    "metrics": [
        ("GET", "/metrics", "show_metrics"),
    ],
    "registry": [
        ("GET", "/images/search", "find"),
        ("POST", "/images/{name:*}/push", "push"),
        ("POST", "/auth", "authenticate"),
        ("GET", "/distribution/{name:*}/json", "inspect"),
    ],
    "running": [
        ("GET", "/containers/{id}/stats", "show_stats"),
        ("GET", "/containers/{id}/top", "show_top"),
        ("POST", "/containers/{id}/update", "update_container"),
    ],
    "secrets": [
        ("GET", "/secrets", "list_secrets"),
        ("POST", "/secrets/create", "create"),
        ("GET", "/secrets/{id}", "inspect"),
        ("DELETE", "/secrets/{id}", "remove"),
    ],
    "usage": [
        ("GET", "/system/df", "disk_usage"),
    ],
}
"""Method, path, function by module: what is rarely asked for is imported with its first request, to keep the idle
daemon small."""


def _late(module: str, function: str) -> Handler:
    async def handler(call: Call) -> None:
        await getattr(import_module(f".{module}", __package__), function)(call)

    return handler


def _of(module: str) -> list[Route]:
    return [(method, path, _late(module, function)) for method, path, function in _LATE[module]]


ROUTES: list[Route] = [
    *_of("beyond"),  # before Docker's own: `/images/{name}/…` would take a bootstrap for an image
    *system.ROUTES,
    *containers.ROUTES,
    *streams.ROUTES,
    *_of("running"),
    *_of("files"),
    *_of("registry"),
    *images.ROUTES,
    *networks.ROUTES,
    *volumes.ROUTES,
    *plugins.ROUTES,
    *_of("build"),
    *_of("buildkit"),
    *_of("secrets"),
    *_of("usage"),
    *_of("check"),
    *_of("metrics"),
    *swarm.ROUTES,
]
