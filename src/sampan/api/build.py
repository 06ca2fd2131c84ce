"""Building images: `POST /build` with the classic JSON stream, and the build cache."""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64decode
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from msgspec import Struct

from ..build import pruning
from ..build.builder import BuildRequest, builder_of
from ..build.context import read_dockerfile, received
from ..build.session import ENTITLEMENTS
from ..errors import InvalidArgument
from ..model.container import HostConfig, Ulimit
from ..model.progress import Progress, Report
from ..oci import digest as digests
from ..oci import platform as platforms
from ..oci import reference
from ..registry.config import ANONYMOUS, AuthConfig
from . import progress
from .buildlog import ClassicLog
from .call import Call
from .query import Query
from .router import Route


class Extras(Struct, frozen=True, rename="pascal"):
    """`X-Sampan-Build`: what Docker's `/build` has no parameter for. Secrets are base64."""

    secrets: dict[str, str] = {}
    ssh: dict[str, str] = {}
    contexts: dict[str, str] = {}
    no_cache_stages: list[str] = []
    allow: list[str] = []
    explain: bool = False
    events: bool = False


async def build(call: Call) -> None:
    extras = _extras(call)
    async with AsyncExitStack() as stack:
        if call.query.text("remote"):
            raise InvalidArgument("building from a URL needs a context that the client fetches")
        context = await stack.enter_async_context(received(call.engine, call.chunks()))
        name = call.query.text("dockerfile") or "Dockerfile"
        request = _request(call, extras, context, read_dockerfile(context, name))
        tags = request.tags

        async def work(report: Report) -> None:
            log = ClassicLog(report, quiet=call.query.flag("q"), events=extras.events)
            image = await builder_of(call.engine).build(request, log)
            _finish(report, image.id, tags, quiet=call.query.flag("q"))

        await progress.stream(call, work)


def _finish(report: Report, image_id: str, tags: Any, *, quiet: bool) -> None:
    report(Progress(aux={"ID": image_id}))
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


def _request(call: Call, extras: Extras, context: str, dockerfile: str) -> BuildRequest:
    query = call.query
    platform = query.text("platform")
    arguments = _json(query, "buildargs", dict[str, str | None])
    return BuildRequest(
        dockerfile=dockerfile,
        context=context,
        tags=query.all("t"),
        arguments={name: value for name, value in arguments.items() if value is not None},
        target=query.text("target"),
        platform=platforms.parse(platform) if platform else None,
        labels=_json(query, "labels", dict[str, str]),
        no_cache=query.flag("nocache"),
        no_cache_stages=frozenset(extras.no_cache_stages),
        pull=query.flag("pull"),
        network=query.text("networkmode") or "default",
        contexts=extras.contexts,
        secrets={name: b64decode(value) for name, value in extras.secrets.items()},
        ssh=extras.ssh,
        limits=_limits(query),
        entitlements=ENTITLEMENTS | frozenset(extras.allow),
        explain=extras.explain,
        auth=_credentials(call),
    )


def _limits(query: Query) -> HostConfig:
    return HostConfig(
        memory=query.number("memory"), memory_swap=query.number("memswap"), cpu_shares=query.number("cpushares"),
        cpu_period=query.number("cpuperiod"), cpu_quota=query.number("cpuquota"), cpuset_cpus=query.text("cpusetcpus"),
        cpuset_mems=query.text("cpusetmems"), shm_size=query.number("shmsize"),
        cgroup_parent=query.text("cgroupparent"), extra_hosts=query.all("extrahosts") or None,
        ulimits=_json(query, "ulimits", list[Ulimit]) or None,
    )  # fmt: skip


def _json(query: Query, name: str, kind: Any) -> Any:
    text = query.text(name)
    try:
        return msgspec.json.decode(text.encode(), type=kind | None) or kind() if text else kind()
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"invalid {name}: {error}") from None


def _credentials(call: Call) -> Any:
    text = call.request_headers.get("x-registry-config", "")
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        known = msgspec.json.decode(data, type=dict[str, AuthConfig]) if data else {}
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        known = {}
    hosts = {_host(name): auth for name, auth in known.items()}
    return lambda domain: hosts.get(domain, ANONYMOUS)


def _host(address: str) -> str:
    host = address.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return "docker.io" if host == "index.docker.io" else host


async def prune(call: Call) -> None:
    keep = call.query.number("keep-storage") or call.query.number("reserved-space")
    pruned = pruning.prune(builder_of(call.engine), call.query.filters(), everything=call.query.flag("all"), keep=keep)
    await call.json({"CachesDeleted": pruned.keys or None, "SpaceReclaimed": pruned.freed})


ROUTES: list[Route] = [("POST", "/build", build), ("POST", "/build/prune", prune)]
