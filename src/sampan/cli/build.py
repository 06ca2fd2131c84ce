"""`build`: packs the context and shows what the daemon's builder says."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import credentials
from .archives import chunks
from .build_context import Context, ignore_rules
from .command import CommandFailed, command, exactly
from .flags import Options, boolean, integer, many, size, string, string_array, strings, typed
from .key_values import pairs
from .progress import display
from .run_config import ulimit

if TYPE_CHECKING:
    from .session import Session

REMOTE = ("http://", "https://", "git://", "git@", "github.com/", "ssh://")
EXTERNAL = ".dockerfile.from-outside"
"""Name in the archive of a Dockerfile that does not lie in the context."""


@command(
    "[OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile",
    strings("add-host", 'Add a custom host-to-IP mapping (format: "host:ip")'),
    string_array("build-arg", "Set build-time variables"),
    string_array("cache-from", 'External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")'),
    string("cgroup-parent", 'Set the parent cgroup for the "RUN" instructions during build'),
    integer("cpu-period", "Limit the CPU CFS (Completely Fair Scheduler) period", hidden=True),
    integer("cpu-quota", "Limit the CPU CFS (Completely Fair Scheduler) quota", hidden=True),
    integer("cpu-shares", "CPU shares (relative weight)", short="c", hidden=True),
    string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)", hidden=True),
    string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)", hidden=True),
    boolean("disable-content-trust", "Skip image verification", default=True, hidden=True),
    string("file", 'Name of the Dockerfile (default: "PATH/Dockerfile")', short="f"),
    boolean("force-rm", "Always remove intermediate containers", hidden=True),
    string("iidfile", "Write the image ID to a file"),
    string_array("label", "Set metadata for an image"),
    boolean("load", 'Shorthand for "--output=type=docker"'),
    size("memory", "Memory limit", short="m", hidden=True),
    size("memory-swap", "Swap limit equal to memory plus swap", hidden=True),
    string("network", 'Set the networking mode for the "RUN" instructions during build', default="default"),
    boolean("no-cache", "Do not use cache when building the image"),
    string("platform", "Set target platform for build"),
    string("progress", 'Set type of progress output ("auto", "plain", "quiet")', default="auto"),
    boolean("pull", "Always attempt to pull all referenced images"),
    boolean("quiet", "Suppress the build output and print image ID on success", short="q"),
    boolean("rm", "Remove intermediate containers after a successful build", default=True, hidden=True),
    many("security-opt", "Security options", hidden=True),
    size("shm-size", "Shared memory size for build containers"),
    string_array("tag", 'Name and optionally a tag (format: "name:tag")', short="t"),
    string("target", "Set the target build stage to build"),
    typed("ulimit")("ulimit", "Ulimit options (default [])"),
    arity=exactly(1),
)
def build(session: Session, options: Options, arguments: list[str]) -> int:
    context, query = _context(options, arguments[0])
    query.update(build_query(options))
    auths = credentials.all_auths(session.config)
    registry_config = credentials.encode_auth(auths) if auths else None
    quiet = options["quiet"] or options["progress"] == "quiet"
    image_ids: list[str] = []
    messages = session.client.build(context, query, registry_config)

    def keep_id(aux: dict[str, Any]) -> None:
        if "ID" in aux:
            image_ids.append(aux["ID"])

    text = io.StringIO()
    display(messages, text if quiet else sys.stdout, keep_id)
    if options["iidfile"] and image_ids:
        with open(options["iidfile"], "w", encoding="ascii") as file:
            file.write(image_ids[-1])
    if quiet:
        # A daemon that was asked to be quiet sends the ID as text.
        session.say(image_ids[-1] if image_ids else text.getvalue().strip())
    return 0


def build_query(options: Options) -> dict[str, Any]:
    return {
        "t": options["tag"],
        "remote": None,
        "nocache": options["no-cache"],
        "q": options["quiet"],
        "pull": "1" if options["pull"] else None,
        "rm": options["rm"],
        "forcerm": options["force-rm"],
        "buildargs": _build_arguments(options["build-arg"]) or None,
        "labels": json.dumps(pairs(options["label"])) if options["label"] else None,
        "cachefrom": json.dumps(options["cache-from"]) if options["cache-from"] else None,
        "networkmode": options["network"],
        "platform": options["platform"] or None,
        "target": options["target"] or None,
        "extrahosts": options["add-host"],
        "shmsize": options["shm-size"] or None,
        "memory": options["memory"] or None,
        "memswap": options["memory-swap"] or None,
        "cpushares": options["cpu-shares"] or None,
        "cpuperiod": options["cpu-period"] or None,
        "cpuquota": options["cpu-quota"] or None,
        "cpusetcpus": options["cpuset-cpus"] or None,
        "cpusetmems": options["cpuset-mems"] or None,
        "cgroupparent": options["cgroup-parent"] or None,
        "securityopt": json.dumps(options["security-opt"]) if options["security-opt"] else None,
        "ulimits": json.dumps([ulimit(text) for text in options["ulimit"]]) if options["ulimit"] else None,
        "version": "1",
    }


def _build_arguments(texts: list[str]) -> str:
    """A name alone takes its value from our environment, or is null."""
    if not texts:
        return ""
    values: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        values[name] = value if equals else os.environ.get(name)
    return json.dumps(values)


def _context(options: Options, where: str) -> tuple[Iterable[bytes] | None, dict[str, Any]]:
    """The body and the part of the query that says what is in it."""
    file = options["file"]
    if where.startswith(REMOTE):
        return None, {"remote": where, "dockerfile": file or "Dockerfile"}
    if where == "-":
        return _from_input(file)
    if not os.path.isdir(where):
        raise CommandFailed(f'unable to prepare context: path "{where}" not found')
    name, extra = _dockerfile(where, file)
    return Context(where, ignore_rules(where, name), extra).chunks(), {"dockerfile": name}


def _from_input(file: str) -> tuple[Iterable[bytes], dict[str, Any]]:
    """A tar archive is a context; anything else is a Dockerfile."""
    stdin = io.BufferedReader(sys.stdin.buffer.raw)  # type: ignore[union-attr]  # typeshed knows no raw here
    head = stdin.peek(512)[:512]
    if _looks_like_tar(head):
        return chunks(stdin), {"dockerfile": file or "Dockerfile"}
    import tempfile

    empty = tempfile.TemporaryDirectory(prefix="sampan-context-")
    content = stdin.read()

    def packed() -> Iterable[bytes]:
        with empty:
            yield from Context(empty.name, ignore_rules(empty.name, ""), {"Dockerfile": content}).chunks()

    return packed(), {"dockerfile": "Dockerfile"}


def _looks_like_tar(head: bytes) -> bool:
    compressed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
    return head[257:262] == b"ustar" or head.startswith(compressed)


def _dockerfile(directory: str, file: str) -> tuple[str, dict[str, bytes]]:
    """Its name in the archive, and its content where it lies outside the context."""
    if file == "-":
        return EXTERNAL, {EXTERNAL: sys.stdin.buffer.read()}
    path = os.path.realpath(file) if file else os.path.join(os.path.realpath(directory), "Dockerfile")
    if file and not os.path.exists(path):
        path = os.path.join(os.path.realpath(directory), file)
    inside = os.path.relpath(path, os.path.realpath(directory))
    if not os.path.exists(path):
        raise CommandFailed(f"failed to read dockerfile: open {file or 'Dockerfile'}: no such file or directory")
    if not inside.startswith(".."):
        return inside, {}
    with open(path, "rb") as source:
        return EXTERNAL, {EXTERNAL: source.read()}
