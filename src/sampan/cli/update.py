"""`update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.quantity import parse_swap
from .command import CommandFailed, at_least, command
from .each import each
from .flags import Options, decimal, integer, many, size, string, uint16
from .run_config import DIRECT_HOST, restart_policy
from .run_mounts import parse_mount, parse_volumes
from .run_ports import parse_publish

if TYPE_CHECKING:
    from .session import Session

FLAGS = (
    uint16("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
    integer("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
    integer("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    integer("cpu-rt-period", "Limit the CPU real-time period in microseconds"),
    integer("cpu-rt-runtime", "Limit the CPU real-time runtime in microseconds"),
    integer("cpu-shares", "CPU shares (relative weight)", short="c"),
    decimal("cpus", "Number of CPUs"),
    string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    size("memory", "Memory limit", short="m"),
    size("memory-reservation", "Memory soft limit"),
    size("memory-swap", "Swap limit equal to memory plus swap: -1 to enable unlimited swap", read=parse_swap),
    integer("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
    many("publish-add", "Publish one more of the container's ports, also while it runs (as -p of run)"),
    many("publish-rm", "Close a published host port, also while it runs (8080, 8080/udp)"),
    many("env", "Set a variable (A=1) or unset it (A); re-creates the container", short="e"),
    string("image", "Put the container on another image; re-creates it"),
    many("label", "Set a label (a=b) or unset it (a); re-creates the container", short="l"),
    many("mount-add", "Attach a mount (as --mount of run); re-creates the container", read=parse_mount),
    many("mount-rm", "Detach what is mounted at a path; re-creates the container"),
    many("volume-add", "Bind mount a volume (as -v of run); re-creates the container"),
    string("restart", "Restart policy to apply when a container exits"),
)


@command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
    *FLAGS,
    arity=at_least(1),
)
def update(session: Session, options: Options, arguments: list[str]) -> int:
    if not options.changed:
        raise CommandFailed("you must provide one or more flags when using this command")
    changes: dict[str, Any] = {field: options[flag] for field, flag in DIRECT_HOST.items() if flag in options.changed}
    if options["restart"]:
        changes["RestartPolicy"] = restart_policy(options["restart"])
    if options["publish-add"]:
        changes["PublishAdd"] = parse_publish(options["publish-add"])[1]
    if options["publish-rm"]:
        changes["PublishRm"] = options["publish-rm"]

    recreate = recreation(options)
    if recreate:
        changes["Recreate"] = recreate

    def apply(name: str) -> None:
        warnings.extend(session.client.container_update(name, changes).get("Warnings") or ())

    warnings: list[str] = []
    try:
        return each(session, arguments, apply)
    finally:
        if warnings:
            session.say("\n".join(warnings))


def recreation(options: Options) -> dict[str, Any]:
    """What takes a new container in place of the old one (Sampan only)."""
    labels = {
        key: value if equals else None for key, equals, value in (text.partition("=") for text in options["label"])
    }
    found = {
        "Env": options["env"],
        "Image": options["image"],
        "Labels": labels,
        "Mounts": options["mount-add"],
        "Unmount": options["mount-rm"],
        "Binds": parse_volumes(options["volume-add"])[0],
    }
    return {key: value for key, value in found.items() if value}
