"""From what a front end gave to what a build's client gets: trees are built, images stored, exporters run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from ..build.builder import BuildRequest, builder_of
from ..build.graph import Exec, GitSource, HttpSource, walk
from ..build.result import Result
from ..errors import NotFound, SampanError
from .agents import agents
from .credentials import secrets
from .exporters import Export, form_of, kind_of, names_of
from .failing import failure
from .llb import configured
from .proto.control_pb2 import Exporter
from .proto.gateway_pb2 import Result as ResultMessage
from .solves import Outcome, Ref, Solve

_GIT = ("GIT_AUTH_TOKEN", "GIT_AUTH_HEADER")


def given(solve: Solve, result: ResultMessage) -> Outcome:
    """What a client says the result is: trees by the names that it has of them."""
    named = dict(result.refs.refs) if result.WhichOneof("result") == "refs" else {"": result.ref}
    refs = {}
    for platform, ref in named.items():
        if ref.id and ref.id not in solve.refs:
            raise NotFound(f"no such ref: {ref.id}")
        if ref.id:
            refs[platform] = _described(solve.refs[ref.id], platform, result)
    return Outcome(refs, dict(result.metadata))


def _described(ref: Ref, platform: str, result: ResultMessage) -> Ref:
    """A tree of a client's graph has no other configuration than the client's."""
    key = f"containerimage.config/{platform}" if platform else "containerimage.config"
    if ref.request.dockerfile or key not in result.metadata:
        return ref
    return replace(ref, target=configured(ref.target, result.metadata[key]))


async def finish(solve: Solve, outcome: Outcome) -> dict[str, str]:
    """Build, export, and say what clients are told of the result; raises GRPCError."""
    refs = list(outcome.refs.values())
    if not refs:
        return {}
    try:
        async with AsyncExitStack() as held:
            exporters = _exporters(solve)
            if not exporters:
                await results_of(solve, refs, held)
                return {}
            return await _export(solve, refs, exporters, held)
    except SampanError as error:
        raise failure(error, solve.progress) from error
    raise AssertionError("not reached")


def _exporters(solve: Solve) -> list[Exporter]:
    """What the client wants done; older ones say it in other fields, newer ones in both."""
    asked = solve.request
    if asked.Exporters or not asked.ExporterDeprecated:
        return list(asked.Exporters)
    return [Exporter(Type=asked.ExporterDeprecated, Attrs=dict(asked.ExporterAttrsDeprecated))]


async def _export(
    solve: Solve, refs: Sequence[Ref], exporters: Sequence[Exporter], held: AsyncExitStack
) -> dict[str, str]:
    chosen = [(kind_of(one), one) for one in exporters]
    listed = [one for export, one in chosen if export.listed]
    request = await _lent(solve, refs)
    tags = [str(name) for one in listed for name in names_of(one)]
    form = form_of(exporters, request.form.provenance)
    request = replace(request, listed=bool(listed), tags=tags, form=form)
    built = await builder_of(solve.engine).finish([ref.target for ref in refs], request, solve.progress, held)
    response: dict[str, str] = {}
    for number, (export, one) in enumerate(chosen):
        response |= await export.run(Export(solve, built, one, str(number)))
    return response


async def results_of(solve: Solve, refs: Sequence[Ref], held: AsyncExitStack) -> list[Result]:
    """Build trees, which stay until `held` ends."""
    request = await _lent(solve, refs)
    try:
        return await builder_of(solve.engine).solve([ref.target for ref in refs], request, solve.progress, held)
    except SampanError as error:
        raise failure(error, solve.progress) from error


async def _lent(solve: Solve, refs: Sequence[Ref]) -> BuildRequest:
    """The request with what the steps want of the client: secrets, agents, contexts."""
    vertices = [vertex for ref in refs for vertex in walk(ref.target.vertex)]
    mounts = [mount for vertex in vertices if isinstance(vertex.op, Exec) for mount in vertex.op.mounts]
    remote = any(isinstance(vertex.op, GitSource | HttpSource) for vertex in vertices)
    wanted = {mount.id for mount in mounts if mount.kind == "secret"} | set(_GIT if remote else ())
    lenders = {mount.id for mount in mounts if mount.kind == "ssh"} | ({"default"} if remote else set())
    values: dict[str, bytes] = {}
    sockets: dict[str, str] = {}
    for source in solve.sources if wanted or lenders else ():
        session = await source.session()
        values |= await secrets(session, wanted - values.keys())
        sockets |= await agents(solve.engine, session, lenders - sockets.keys(), solve.stack)
    contexts = {name: context for ref in refs for name, context in ref.contexts.items()}
    return replace(refs[0].request, sources=contexts, secrets=values, ssh=sockets)
