"""Building images: `POST /build` with the classic JSON stream, and the build cache."""

from __future__ import annotations

import asyncio
import binascii
import posixpath
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from msgspec import Struct

from ..build import exporting, pruning
from ..build.asking import Asked, Asking
from ..build.builder import BuildRequest, builder_of
from ..build.cacheexport import layout, parse_target
from ..build.cacheimport import CacheSource, parse_source
from ..build.context import drop_ignored, ignore_rules, opened, read_dockerfile, received
from ..build.execution import StepFailed
from ..build.filetree import FileTree
from ..build.frontend.files import is_git
from ..build.handover import Handover
from ..build.imageform import Provenance, parse_form
from ..build.remote import KEEP_GIT_DIR, fetched
from ..build.session import ENTITLEMENTS
from ..build.syncing import MAIN, MAX_MANIFEST, Manifest
from ..cas.threads import run_in_thread
from ..dockerfile.ignore import IgnoreRules
from ..errors import Forbidden, InvalidArgument, NotFound, SampanError
from ..model.container import HostConfig, Ulimit
from ..model.progress import ErrorDetail, Progress, Report
from ..oci import digest as digests
from ..oci import platform as platforms
from ..oci import reference
from ..registry.config import ANONYMOUS, AuthConfig, AuthFor, domain_of
from ..runtime.privileges import security_options
from . import body, progress
from .buildlog import ClassicLog
from .call import Call
from .hijack import Takeover, upgrade_head
from .query import Query


class Extras(Struct, frozen=True, rename="pascal"):
    """`X-Sampan-Build`: what Docker's `/build` has no parameter for. `session` is a handover's id.

    `listed`: whether the engine is to list and tag the image; `deliver`: whether the client will fetch what was built.
    """

    session: str = ""
    contexts: dict[str, str] = {}
    no_cache_stages: list[str] = []
    allow: list[str] = []
    explain: bool = False
    events: bool = False
    check: bool = False
    listed: bool = True
    deliver: bool = False
    cache_from: list[dict[str, str]] = []
    cache_to: list[dict[str, str]] = []
    form: dict[str, str] = {}
    """Options of BuildKit's image exporter, and `attest:provenance`."""
    describe: str = ""
    """The provenance that the last event has: `min`, `max` or none."""


class SessionRequest(Struct, frozen=True, rename="pascal"):
    """The body of `POST /sampan/builds`; secrets are base64 by id."""

    secrets: dict[str, str] = {}


async def begin_session(call: Call) -> None:
    """A handover for a build to come."""
    request = await call.body(SessionRequest)
    made = builder_of(call.engine).handovers.begin(call.engine)
    try:
        made.secrets = {name: b64decode(value, validate=True) for name, value in request.secrets.items()}
    except binascii.Error as error:
        raise InvalidArgument(f"invalid secret: {error}") from None
    await call.json({"Id": made.id}, 201)


async def watch_session(call: Call) -> None:
    """A connection that the client keeps for as long as it wants the handover and what comes of it.

    Over it the client is asked for files that the build turns out to need.
    """
    call.exchange.cancellable = True
    with builder_of(call.engine).handovers.watching(call.path["id"]) as handover:
        client = await Takeover.take(call, upgrade_head(call, tty=True, complete=False))
        asking = asyncio.ensure_future(_ask(client, handover.asking))
        try:
            await client.left()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            client.close()


async def _ask(client: Takeover, asking: Asking) -> None:
    async for question in asking.questions():
        await client.send(question)


async def answer_file(call: Call) -> None:
    """The contents of a file that the client was asked for."""
    await _asking(call).answer(_file_number(call), call.chunks())
    await call.empty()


async def refuse_file(call: Call) -> None:
    """The client has no such file."""
    _asking(call).refuse(_file_number(call))
    await call.empty()


def _asking(call: Call) -> Asking:
    return builder_of(call.engine).handovers.lender(call.path["id"]).asking


def _file_number(call: Call) -> int:
    text = call.path["number"]
    if not text.isdecimal():
        raise InvalidArgument(f"invalid number of a file: {text}")
    return int(text)


async def send_context(call: Call) -> None:
    """A named context as a tar archive."""
    with builder_of(call.engine).handovers.using(call.path["id"]) as handover:
        await handover.receive(call.path["name"], call.chunks())
    await call.empty()


async def announce_context(call: Call) -> None:
    """A context's manifest; the answer says which contents are wanted."""
    data = b"".join([chunk async for chunk in _bounded(call.chunks(), MAX_MANIFEST)])
    try:
        manifest = await run_in_thread(lambda: msgspec.json.decode(data, type=Manifest))
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"invalid manifest: {error}") from None
    builder = builder_of(call.engine)
    with builder.handovers.using(call.path["id"]) as handover:
        missing = await handover.announce(call.path["name"], manifest, builder.contexts)
    await call.json({"Missing": missing})


async def fill_context(call: Call) -> None:
    """The contents that were wanted, one after another; the answer says which are not what the manifest says."""
    with builder_of(call.engine).handovers.using(call.path["id"]) as handover:
        changed = await handover.fill(call.path["name"], call.chunks())
    await call.json({"Changed": changed})


async def _bounded(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    async for chunk in body:
        limit -= len(chunk)
        if limit < 0:
            raise InvalidArgument("the build context has too many files")
        yield chunk


async def lend_agent(call: Call) -> None:
    """A connection that the client offers to its ssh agent: a step's connection is joined to it when one comes."""
    handover = builder_of(call.engine).handovers.lender(call.path["id"])
    agent = handover.lend(call.path["name"])
    client = await Takeover.take(call, upgrade_head(call, tty=True, complete=False))
    waiting = asyncio.ensure_future(agent.accept())
    gone = asyncio.ensure_future(client.gone())
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done() and not waiting.cancelled():
            with waiting.result() as connection:
                await client.pump(connection)
    finally:
        waiting.cancel()
        gone.cancel()
        await asyncio.gather(waiting, gone, return_exceptions=True)
        client.close()


async def build(call: Call) -> None:
    extras, version = _extras(call), _version(call.query)
    async with AsyncExitStack() as stack:
        handover = _take(call, extras, stack)
        name = posixpath.normpath(call.query.text("dockerfile") or "Dockerfile").lstrip("/")
        described = await _context(call, handover, stack, name)
        request = _request(call, extras, handover, described, name)

        async def work(report: Report) -> None:
            with builder_of(call.engine).cancellable(call.query.text("buildid")):
                if version == "2":
                    await _build_traced(call, request, report)
                else:
                    await _build(call, request, extras, report)

        await progress.stream(call, work)


def _version(query: Query) -> str:
    """The builder that is asked for, in dockerd's words where there is none: 1 is the classic one, 2 BuildKit."""
    version = query.text("version") or "1"
    if version not in ("1", "2"):
        raise InvalidArgument(f'invalid version "{version}"')
    if version == "1" and query.text("remote") == "client-session":
        raise InvalidArgument(
            "experimental session with v1 builder is no longer supported, use builder version v2 (BuildKit) instead"
        )
    return version


async def _build_traced(call: Call, request: BuildRequest, report: Report) -> None:
    from .buildtrace import TraceLog  # BuildKit's messages cost memory until they are needed

    log = TraceLog(report, quiet=call.query.flag("q"))
    try:
        built = await builder_of(call.engine).build(request, log)
    except SampanError:
        log.failed()
        raise
    log.done(built.image.id)


async def _build(call: Call, request: BuildRequest, extras: Extras, report: Report) -> None:
    quiet = call.query.flag("q")
    log = ClassicLog(report, quiet=quiet, events=extras.events)
    builder = builder_of(call.engine)
    if extras.check:
        builder.check(request, log)
        return
    delivery = Handover(call.engine, extras.session)
    try:
        delivery.built = await builder.build(request, log, delivery.stack if extras.deliver else None)
    except StepFailed as error:
        # the classic builder's words for its clients; the status becomes that of `docker build`
        text = f"The command '{error.command}' returned a non-zero code: {error.status}"
        text = str(error) if extras.events else text
        report(Progress(error_detail=ErrorDetail(text, error.status), error=text))
        return
    image = delivery.built.image
    if extras.events or not quiet:
        report(Progress(aux={"ID": image.id}))
    if extras.deliver:
        builder.handovers.offer(delivery)
        report(Progress(aux={"sampan.delivery": delivery.id}))
    if not extras.events:
        _finish(report, image.id, request.tags, quiet=quiet)


def _take(call: Call, extras: Extras, stack: AsyncExitStack) -> Handover:
    handovers = builder_of(call.engine).handovers
    handover = handovers.take(extras.session) if extras.session else Handover(call.engine)
    stack.push_async_callback(handover.stack.aclose)
    return handover


async def _context(call: Call, handover: Handover, stack: AsyncExitStack, name: str) -> _Described:
    """The files and the Dockerfile's text."""
    where = call.query.text("remote")
    if where:
        arguments = _json(call.query, "buildargs", dict[str, str | None])
        keep = (arguments.get(KEEP_GIT_DIR) or "").lower() in ("1", "true", "t")
        remote = await stack.enter_async_context(
            fetched(call.engine, where, handover.secrets, handover.agents, keep_git_dir=keep)
        )
        if remote.dockerfile:
            return _Described(remote.context, remote.dockerfile)
        context = remote.context
    elif MAIN in handover.contexts:
        context = handover.contexts.pop(MAIN)
    else:
        context = await stack.enter_async_context(received(call.engine, call.chunks()))
    with opened(context) as tree:
        dockerfile = read_dockerfile(tree, name)
        rules = ignore_rules(tree, name)
        if rules is not None:
            drop_ignored(tree, name, rules)
        return _Described(context, dockerfile, rules)


class _Described(Struct, frozen=True):
    """What is to be built: `context` is empty where there is none, `ignored` what its ignore file says."""

    context: str | FileTree
    dockerfile: str
    ignored: IgnoreRules | None = None


def _finish(report: Report, image_id: str, tags: Any, *, quiet: bool) -> None:
    if quiet:
        report(Progress(stream=f"{image_id}\n"))
        return
    report(Progress(stream=f"Successfully built {digests.short(image_id)}\n"))
    for tag in tags:
        report(Progress(stream=f"Successfully tagged {reference.parse(tag).with_default_tag().familiar}\n"))


def _extras(call: Call) -> Extras:
    text = call.request_headers.get("x-sampan-build", "")
    try:
        return msgspec.json.decode(b64decode(text), type=Extras) if text else Extras()
    except (binascii.Error, msgspec.MsgspecError) as error:
        raise InvalidArgument(f"invalid X-Sampan-Build: {error}") from None


def _request(call: Call, extras: Extras, handover: Handover, described: _Described, name: str) -> BuildRequest:
    query = call.query
    arguments = _json(query, "buildargs", dict[str, str | None])
    for asked in extras.allow:
        if asked not in call.engine.config.entitlements:
            raise Forbidden(f"granting entitlement {asked} is not allowed by build daemon configuration")
    return BuildRequest(
        dockerfile=described.dockerfile,
        dockerfile_name=name,
        context=described.context,
        ignored=described.ignored,
        tags=query.all("t"),
        arguments={name: value for name, value in arguments.items() if value is not None},
        target=query.text("target"),
        platforms=platforms.parse_all(query.text("platform")),
        squash=query.flag("squash"),
        listed=extras.listed,
        labels=_json(query, "labels", dict[str, str]),
        no_cache=query.flag("nocache"),
        no_cache_stages=frozenset(extras.no_cache_stages),
        pull=query.flag("pull"),
        network=query.text("networkmode") or "default",
        contexts={**_named(extras), **handover.contexts},
        secrets=handover.secrets,
        ssh=handover.agents,
        limits=_limits(query),
        entitlements=ENTITLEMENTS | frozenset(extras.allow),
        explain=extras.explain,
        auth=_credentials(call),
        cache_from=_cache_sources(query, extras, handover),
        cache_to=[parse_target(fields) for fields in extras.cache_to],
        form=parse_form(extras.form),
        describe=Provenance(complete=extras.describe == "max") if extras.describe else None,
    )


def _cache_sources(query: Query, extras: Extras, handover: Handover) -> list[CacheSource]:
    """Our client's, and the classic `cachefrom`, a list of images."""
    found = [
        parse_source(fields, Asked(handover.asking, f"cache:{number}"))
        for number, fields in enumerate(extras.cache_from)
    ]
    return [*found, *(CacheSource(name, prefer_image=True) for name in _json(query, "cachefrom", list[str]))]


def _named(extras: Extras) -> dict[str, str]:
    """Only what is fetched: a directory of this machine is nothing that a client may name."""
    for where in extras.contexts.values():
        if not where.startswith("docker-image://") and not is_git(where):
            raise InvalidArgument(f"invalid build context {where}: an image or a git repository is wanted")
    return dict(extras.contexts)


def _limits(query: Query) -> HostConfig:
    options = _json(query, "securityopt", list[str])
    security_options(options)  # refused here, not by the first step
    return HostConfig(
        memory=query.number("memory"), memory_swap=query.number("memswap"), cpu_shares=query.number("cpushares"),
        cpu_period=query.number("cpuperiod"), cpu_quota=query.number("cpuquota"), cpuset_cpus=query.text("cpusetcpus"),
        cpuset_mems=query.text("cpusetmems"), shm_size=query.number("shmsize"),
        cgroup_parent=query.text("cgroupparent"), extra_hosts=query.all("extrahosts") or None,
        ulimits=_json(query, "ulimits", list[Ulimit]) or None, security_opt=options or None,
    )  # fmt: skip


def _json(query: Query, name: str, kind: Any) -> Any:
    text = query.text(name)
    try:
        return msgspec.json.decode(text.encode(), type=kind | None) or kind() if text else kind()
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"invalid {name}: {error}") from None


def _credentials(call: Call) -> AuthFor:
    none: dict[str, AuthConfig] = {}
    known = body.from_header(call.request_headers.get("x-registry-config", ""), dict[str, AuthConfig], none)
    hosts = {domain_of(name): auth for name, auth in known.items()}

    async def given(domain: str) -> AuthConfig:
        return hosts.get(domain, ANONYMOUS)

    return given


async def cancel(call: Call) -> None:
    """`POST /build/cancel?id=`: ends the build that was begun with that `buildid`; an unknown one is no mistake."""
    identity = call.query.text("id")
    if not identity:
        raise InvalidArgument("build ID not provided")
    builder_of(call.engine).cancel(identity)
    await call.empty(200)


async def deliver_tree(call: Call) -> None:
    """The file tree of what was built as a tar; of one platform, or of all."""
    built = builder_of(call.engine).handovers.delivery(call.path["id"])
    await call.stream_bytes(exporting.tree(call.engine, built, call.query.text("platform")), "application/x-tar")


async def deliver_archive(call: Call) -> None:
    """What was built as an OCI layout, with the given names."""
    built = builder_of(call.engine).handovers.delivery(call.path["id"])
    names = [reference.parse(name).with_default_tag() for name in call.query.all("names")]
    await call.stream_bytes(exporting.archive(call.engine, built, names), "application/x-tar")


async def deliver_cache(call: Call) -> None:
    """A cache that goes to the client, as an OCI layout; `number` counts the local ones."""
    builder, number = builder_of(call.engine), call.query.number("number")
    with builder.handovers.using(call.path["id"]):
        caches = builder.handovers.delivery(call.path["id"]).caches
        if not 0 <= number < len(caches):
            raise NotFound(f"no such cache: {number}")
        await call.stream_bytes(layout(call.engine, *caches[number]), "application/x-tar")


async def end_session(call: Call) -> None:
    """The client has what it wanted."""
    await builder_of(call.engine).handovers.take(call.path["id"]).stack.aclose()
    await call.empty()


async def prune(call: Call) -> None:
    keep = call.query.number("keep-storage") or call.query.number("reserved-space")
    pruned = pruning.prune(builder_of(call.engine), call.query.filters(), everything=call.query.flag("all"), keep=keep)
    call.engine.events.publish("builder", "prune", "", {"reclaimed": str(pruned.freed)})
    await call.json({"CachesDeleted": pruned.keys or None, "SpaceReclaimed": pruned.freed})
