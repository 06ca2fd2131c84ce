"""`build`: packs the context and shows what the daemon's builder says."""

from __future__ import annotations

import io
import json
import os
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sampan.client.origin import from_daemon
from sampan.errors import NotFound, SampanError

from . import credentials
from .archives import chunks
from .build_agents import lend, read_agent
from .build_cache import local, parse_cache, serve, write_caches
from .build_context import ignore_rules
from .build_form import form_of
from .build_metadata import described, write_identity, write_metadata
from .build_output import Output, names, push_tags, wanted, write_outputs
from .build_progress import Outcome, View, choose, closing, follow
from .build_secrets import read_secret
from .build_sync import MAIN, CannotSync, send
from .build_values import allowed, hosts, labels, tags
from .command import CommandFailed, command, exactly
from .flags import Options, boolean, integer, many, size, string, string_array, strings, typed
from .run_config import security_option
from .run_values import ulimit

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
    string_array("cache-to", 'Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")'),
    string("cgroup-parent", 'Set the parent cgroup for the "RUN" instructions during build'),
    integer("cpu-period", "Limit the CPU CFS (Completely Fair Scheduler) period", hidden=True),
    integer("cpu-quota", "Limit the CPU CFS (Completely Fair Scheduler) quota", hidden=True),
    integer("cpu-shares", "CPU shares (relative weight)", short="c", hidden=True),
    string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)", hidden=True),
    string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)", hidden=True),
    string_array("allow", 'Allow extra privileged entitlement (e.g., "network.host", "security.insecure")'),
    string_array("build-context", "Additional build contexts (e.g., name=path)"),
    string_array("annotation", "Add annotation to the image"),
    string_array("attest", 'Attestation parameters (format: "type=provenance,mode=max")'),
    string("call", 'Set method for evaluating build ("build", "check")', default="build"),
    boolean("check", "Check the Dockerfile by its rules, build nothing"),
    boolean("disable-content-trust", "Skip image verification", default=True, hidden=True),
    boolean("explain", "Say for each step why it was or was not taken from the cache"),
    string("file", 'Name of the Dockerfile (default: "PATH/Dockerfile")', short="f"),
    boolean("force-rm", "Always remove intermediate containers", hidden=True),
    string("iidfile", "Write the image ID to a file"),
    string_array("label", "Set metadata for an image"),
    boolean("load", 'Shorthand for "--output=type=docker"'),
    string("metadata-file", "Write build result metadata to a file"),
    size("memory", "Memory limit", short="m", hidden=True),
    size("memory-swap", "Swap limit equal to memory plus swap", hidden=True),
    string("network", 'Set the networking mode for the "RUN" instructions during build', default="default"),
    boolean("no-cache", "Do not use cache when building the image"),
    string_array("no-cache-filter", "Do not cache specified stages"),
    string_array("output", 'Output destination (format: "type=local,dest=path")', short="o"),
    strings("platform", "Set target platforms for build"),
    string("progress", 'Set type of progress output ("auto", "plain", "tty", "rawjson", "quiet")', default="auto"),
    string("provenance", 'Shorthand for "--attest=type=provenance"'),
    boolean("pull", "Always attempt to pull all referenced images"),
    boolean("quiet", "Suppress the build output and print image ID on success", short="q"),
    boolean("rm", "Remove intermediate containers after a successful build", default=True, hidden=True),
    boolean("push", "Push the image once it is built"),
    string("sbom", 'Shorthand for "--attest=type=sbom"'),
    string_array("secret", 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")'),
    many("security-opt", "Security options", hidden=True),
    boolean("squash", "Squash newly built layers into a single new layer"),
    string_array("ssh", 'SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")'),
    size("shm-size", "Shared memory size for build containers"),
    string_array("tag", 'Name and optionally a tag (format: "name:tag")', short="t"),
    string("target", "Set the target build stage to build"),
    typed("ulimit")("ulimit", "Ulimit options (default [])", read=ulimit),
    arity=exactly(1),
)
def build(session: Session, options: Options, arguments: list[str]) -> int:
    quiet = options["quiet"] or options["progress"] == "quiet"
    outputs = wanted(options)
    with closing(choose("quiet" if quiet else options["progress"])) as view:
        outcome = run(session, options, arguments[0], view)
    if _is_check(options):
        return _checked(session, outcome.warnings)
    if quiet and outcome.identity and any(one.is_image for one in outputs):
        session.say(outcome.identity)
    return 0


def run(session: Session, options: Options, where: str, view: View, identity: str = "") -> Outcome:
    """One build, shown in a view, and what becomes of its result. By `identity` it can be cancelled.

    What fails is worded as buildx words it.
    """
    try:
        return _run(session, options, where, view, identity)
    except CommandFailed as error:
        text = str(error)
        raise CommandFailed(
            text if text.startswith("ERROR: ") else f"ERROR: failed to build: {text}", error.status
        ) from error
    except SampanError as error:
        if not from_daemon(error):
            raise
        raise CommandFailed(f"ERROR: failed to build: failed to solve: {error}") from error


def _run(session: Session, options: Options, where: str, view: View, identity: str) -> Outcome:
    outputs = wanted(options)
    secrets = dict(read_secret(text) for text in options["secret"])
    extras = build_extras(options)
    extras["Listed"] = any(one.listed for one in outputs)
    extras["Deliver"] = any(one.fetched for one in outputs) or bool(local(extras["CacheTo"], "dest"))
    extras["Form"] = form_of(options, outputs)
    extras["Describe"] = described(options)
    agents = dict(read_agent(text) for text in options["ssh"])
    query = {**build_query(options), "t": tags(names(options["tag"], outputs)), "buildid": identity or None}
    with _handed_over(session, secrets, options["build-context"], agents, extras):
        context, described_context = _context(session, options, where, extras["Session"])
        auths = credentials.all_auths(session.config)
        registry_config = credentials.encode_auth(auths) if auths else None
        answer = session.client.build(context, {**query, **described_context}, registry_config, extras)
        outcome = follow(answer, view)
        if extras["Check"]:
            return outcome
        try:
            write_caches(session, extras["CacheTo"], outcome, view)
            _deliver(session, options, outcome, outputs, view)
        finally:
            if outcome.delivery:
                session.client.build_end(outcome.delivery)
        return outcome


def _is_check(options: Options) -> bool:
    if options["call"] not in ("build", "check"):
        raise CommandFailed(f"ERROR: failed to build: failed to solve: unsupported request frontend.{options['call']}")
    return bool(options["check"]) or options["call"] == "check"


def build_extras(options: Options) -> dict[str, Any]:
    """What only our daemon understands."""
    return {
        "Events": True, "Explain": options["explain"], "Check": _is_check(options), "Allow": allowed(options["allow"]),
        "NoCacheStages": [name for text in options["no-cache-filter"] for name in text.split(",")],
        "CacheFrom": [parse_cache(text) for text in options["cache-from"]],
        "CacheTo": [parse_cache(text) for text in options["cache-to"]],
    }  # fmt: skip


@contextmanager
def _handed_over(
    session: Session, secrets: dict[str, bytes], contexts: list[str], agents: dict[str, str], extras: dict[str, Any]
) -> Iterator[None]:
    """Send secrets and directories ahead of the build; what the daemon has of it goes with a connection of ours."""
    from sampan.client.images import build_watch_call

    named = dict(_named_context(text) for text in contexts)
    directories = {name: where for name, where in named.items() if os.path.isdir(where)}
    extras["Contexts"] = {name: where for name, where in named.items() if name not in directories}
    identity = extras["Session"] = _begin(session, secrets)
    if not identity:
        if secrets or agents or named or extras["CacheFrom"] or extras["CacheTo"] or extras["Form"]:
            raise CommandFailed(
                "secrets, agents, further contexts, caches and options of images need a daemon of Sampan's"
            )
        yield  # Docker's takes the context as an archive
        return
    watched = session.client.clone().hijack(build_watch_call(identity))
    answering = serve(session.client.clone(), identity, watched, extras["CacheFrom"])
    try:
        for name, path in agents.items():
            lend(session.client, identity, name, path)
        for name, where in directories.items():
            _send(session, identity, name, where)
        yield
    finally:
        watched.close_write()  # then the daemon ends it
        answering.join()
        watched.close()


def _begin(session: Session, secrets: dict[str, bytes]) -> str:
    """A build session's id; empty where the daemon knows no such thing."""
    encoded = {name: b64encode(value).decode() for name, value in secrets.items()}
    try:
        return str(session.client.build_session(encoded)["Id"])
    except NotFound:
        return ""


def _send(session: Session, identity: str, name: str, where: str) -> None:
    rules = ignore_rules(where, "")
    try:
        send(session, identity, name, where, rules, {})
    except CannotSync:
        from .build_archive import Context

        session.client.build_context(identity, name, Context(where, rules, {}).chunks())


def _named_context(text: str) -> tuple[str, str]:
    name, equals, where = text.partition("=")
    if not equals or not name or not where:
        raise CommandFailed(f"invalid context value: {text}, expected key=value")
    if "://" not in where and not where.startswith("git@") and not os.path.isdir(where):
        raise CommandFailed(f"failed to get build context {name}: stat {where}: no such file or directory")
    return name.lower(), os.path.realpath(where) if os.path.isdir(where) else where


def _checked(session: Session, found: int) -> int:
    if not found:
        session.say("Check complete, no warnings found.")
        return 0
    session.say(f"Check complete, {found} warning{'s have' if found > 1 else ' has'} been found!")
    return 1


def _deliver(session: Session, options: Options, outcome: Outcome, outputs: list[Output], view: View) -> None:
    tags = names(options["tag"], outputs)
    write_outputs(session, outputs, outcome, tags, view)
    pushed = push_tags(session, tags, view) if any(output.push for output in outputs) else ""
    if options["iidfile"]:
        write_identity(options["iidfile"], outcome)
    if options["metadata-file"]:
        write_metadata(options["metadata-file"], outcome, outputs, tags, pushed)


def build_query(options: Options) -> dict[str, Any]:
    return {
        "nocache": options["no-cache"],
        "q": None,
        "pull": "1" if options["pull"] else None,
        "rm": options["rm"],
        "forcerm": options["force-rm"],
        "buildargs": _build_arguments(options["build-arg"]) or None,
        "labels": json.dumps(labels(options["label"])) if options["label"] else None,
        "networkmode": options["network"],
        "platform": ",".join(options["platform"]) or None,
        "squash": options["squash"],
        "target": options["target"] or None,
        "extrahosts": hosts(options["add-host"]),
        "shmsize": options["shm-size"] or None,
        "memory": options["memory"] or None,
        "memswap": options["memory-swap"] or None,
        "cpushares": options["cpu-shares"] or None,
        "cpuperiod": options["cpu-period"] or None,
        "cpuquota": options["cpu-quota"] or None,
        "cpusetcpus": options["cpuset-cpus"] or None,
        "cpusetmems": options["cpuset-mems"] or None,
        "cgroupparent": options["cgroup-parent"] or None,
        "securityopt": json.dumps(list(map(security_option, options["security-opt"])))
        if options["security-opt"]
        else None,
        "ulimits": json.dumps(options["ulimit"]) if options["ulimit"] else None,
        "version": "1",
    }


def _build_arguments(texts: list[str]) -> str:
    """A name alone takes its value from our environment, or is null."""
    values: dict[str, str | None] = {}
    if "SOURCE_DATE_EPOCH" in os.environ:
        values["SOURCE_DATE_EPOCH"] = os.environ["SOURCE_DATE_EPOCH"]
    for text in texts:
        name, equals, value = text.partition("=")
        values[name] = value if equals else os.environ.get(name)
    return json.dumps(values) if values else ""


def _context(
    session: Session, options: Options, where: str, identity: str
) -> tuple[Iterable[bytes] | None, dict[str, Any]]:
    """The body, none where the context went ahead, and the part of the query that says what is in it."""
    file = options["file"]
    if where.startswith(REMOTE):
        return None, {"remote": where, "dockerfile": file or "Dockerfile"}
    if where == "-":
        return _from_input(file)
    if not os.path.isdir(where):
        raise CommandFailed(f'unable to prepare context: path "{where}" not found')
    name, extra = _dockerfile(where, file)
    rules = ignore_rules(where, name)
    try:
        if not identity:
            raise CannotSync(where)
        send(session, identity, MAIN, where, rules, extra)
    except CannotSync:
        from .build_archive import Context

        return Context(where, rules, extra).chunks(), {"dockerfile": name}
    return None, {"dockerfile": name}


def _from_input(file: str) -> tuple[Iterable[bytes], dict[str, Any]]:
    """A tar archive is a context; anything else is a Dockerfile."""
    stdin = io.BufferedReader(sys.stdin.buffer.raw)  # type: ignore[union-attr]  # typeshed knows no raw here
    head = stdin.peek(512)[:512]
    if _looks_like_tar(head):
        return chunks(stdin), {"dockerfile": file or "Dockerfile"}
    import tempfile

    from .build_archive import Context

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
        raise CommandFailed(
            f"failed to solve: failed to read dockerfile: open {file or 'Dockerfile'}: no such file or directory"
        )
    if not inside.startswith(".."):
        return inside, {}
    with open(path, "rb") as source:
        return EXTERNAL, {EXTERNAL: source.read()}
