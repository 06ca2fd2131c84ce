"""`Control`: builds, their progress, what the cache holds, and what is remembered of builds that ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from grpclib.const import Cardinality, Handler
from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from ..build import pruning
from ..build.builder import builder_of
from ..build.pruning import Usage
from ..errors import InvalidArgument, NotImplementedHere
from ..model.times import now
from . import capabilities
from .attrs import Attributes
from .failing import message_of, raised
from .frontend import front_end
from .history import matches, record_of
from .llb import graph_outcome
from .proto import control_pb2 as pb
from .results import finish
from .solves import ClientFailure, Outcome, Solve, solves_of

if TYPE_CHECKING:
    from grpclib.server import Stream

    from ..engine.engine import Engine

_FILTER: Final = re.compile(r"([a-z]+)(==|~=|!=)(.*)", re.DOTALL)
_FILTERS: Final = frozenset({"id", "type", "description"})
_NOW: Final = "buildkit-current-timestamp"
"""By this metadata clients correct for a clock that differs from theirs."""


class Control:
    """The service of one connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __mapping__(self) -> dict[str, Handler]:
        one, many = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM
        calls: dict[str, tuple[Any, Cardinality, type[Any], type[Any]]] = {
            "Info": (self._info, one, pb.InfoRequest, pb.InfoResponse),
            "ListWorkers": (self._list_workers, one, pb.ListWorkersRequest, pb.ListWorkersResponse),
            "Solve": (self._solve, one, pb.SolveRequest, pb.SolveResponse),
            "Status": (self._status, many, pb.StatusRequest, pb.StatusResponse),
            "DiskUsage": (self._disk_usage, one, pb.DiskUsageRequest, pb.DiskUsageResponse),
            "Prune": (self._prune, many, pb.PruneRequest, pb.UsageRecord),
            "ListenBuildHistory": (self._history, many, pb.BuildHistoryRequest, pb.BuildHistoryEvent),
            "UpdateBuildHistory": (
                self._update_history, one, pb.UpdateBuildHistoryRequest, pb.UpdateBuildHistoryResponse,
            ),
        }  # fmt: skip
        return {f"/moby.buildkit.v1.Control/{name}": Handler(*call) for name, call in calls.items()}

    async def _info(self, stream: Stream[pb.InfoRequest, pb.InfoResponse]) -> None:
        await _asked(stream)
        await stream.send_message(pb.InfoResponse(version=capabilities.version()))

    async def _list_workers(self, stream: Stream[pb.ListWorkersRequest, pb.ListWorkersResponse]) -> None:
        await _asked(stream)
        await stream.send_message(pb.ListWorkersResponse(record=[capabilities.worker(self._engine)]))

    async def _solve(self, stream: Stream[pb.SolveRequest, pb.SolveResponse]) -> None:
        solves, solve = solves_of(self._engine), Solve(self._engine, await _asked(stream))
        await solves.begin(solve)
        try:
            solve.response = await finish(solve, await _outcome(solve))
        except ClientFailure as error:
            solve.error = error.status
            raise raised(error.status) from error
        except GRPCError as error:
            solve.error = message_of(error)
            raise
        except asyncio.CancelledError:
            solve.error = message_of(GRPCError(Code.CANCELLED, "context canceled"))
            raise
        finally:
            await solves.end(solve)
        await stream.send_message(pb.SolveResponse(ExporterResponse=solve.response))

    async def _status(self, stream: Stream[pb.StatusRequest, pb.StatusResponse]) -> None:
        request = await _asked(stream)
        await stream.send_initial_metadata(metadata={_NOW: now()})
        solve = await solves_of(self._engine).known(request.Ref)
        async for response in solve.log.follow():
            await stream.send_message(response)

    async def _disk_usage(self, stream: Stream[pb.DiskUsageRequest, pb.DiskUsageResponse]) -> None:
        request = await _asked(stream)
        filters = _filters(request.filter) | _older_than(request.ageLimit)
        found = pruning.usage(builder_of(self._engine), filters)
        await stream.send_message(pb.DiskUsageResponse(record=map(_record, found)))

    async def _prune(self, stream: Stream[pb.PruneRequest, pb.UsageRecord]) -> None:
        request = await _asked(stream)
        if request.minFreeSpace:
            raise NotImplementedHere("pruning until so much of the disk is free is not supported by this engine")
        builder = builder_of(self._engine)
        filters = _filters(request.filter) | _older_than(request.keepDuration)
        known = {one.record.key: one for one in pruning.usage(builder, {})}
        keep = request.reservedSpace or request.maxUsedSpace
        for key in pruning.prune(builder, filters, everything=request.all, keep=keep).keys:
            await stream.send_message(_record(known[key]))

    async def _history(self, stream: Stream[pb.BuildHistoryRequest, pb.BuildHistoryEvent]) -> None:
        request = await _asked(stream)
        if not request.EarlyExit:
            raise NotImplementedHere("following the history of builds is not supported: ask for what there is")
        await stream.send_initial_metadata(metadata={_NOW: now()})
        solves = solves_of(self._engine)
        records = [(pb.STARTED, one) for one in solves.active]
        if not request.ActiveOnly:
            records += [(pb.COMPLETE, one) for one in solves.past]
        told = [(kind, record_of(one)) for kind, one in records if not one.request.Internal]
        chosen = [(kind, one) for kind, one in told if matches(one, request)]
        for kind, one in chosen[: request.Limit or None]:
            await stream.send_message(pb.BuildHistoryEvent(type=kind, record=one))

    async def _update_history(
        self, stream: Stream[pb.UpdateBuildHistoryRequest, pb.UpdateBuildHistoryResponse]
    ) -> None:
        request = await _asked(stream)
        if request.Pinned:
            raise NotImplementedHere("builds cannot be kept from being forgotten")
        if request.Delete:
            solves_of(self._engine).forget(request.Ref)
        await stream.send_message(pb.UpdateBuildHistoryResponse())


async def _asked(stream: Stream[Any, Any]) -> Any:
    request = await stream.recv_message()
    if request is None:
        raise GRPCError(Code.INVALID_ARGUMENT, "the request has no message")
    return request


async def _outcome(solve: Solve) -> Outcome:
    """What is to be built: the daemon's front end says it, the request's own graph, or a client that steers."""
    request = solve.request
    if request.HasField("SourcePolicy") or request.EnableSessionExporter:
        raise NotImplementedHere("source policies and exporters of the session are not supported by this engine")
    if request.Frontend:
        return await front_end(solve, request.Frontend, Attributes(dict(request.FrontendAttrs)), _inputs(request))
    if request.HasField("Definition"):
        return await graph_outcome(solve, request.Definition)
    return await solve.returned


def _inputs(request: pb.SolveRequest) -> Mapping[str, Any]:
    return dict(request.FrontendInputs)


def _filters(texts: Sequence[str]) -> dict[str, list[str]]:
    """Filters of containerd's form, `type==regular,id~=abc`, as ours."""
    filters: dict[str, list[str]] = {}
    for text in (part for one in texts for part in one.split(",") if part):
        found = _FILTER.fullmatch(text)
        if found is None or found[1] not in _FILTERS or found[2] == "!=":
            raise InvalidArgument(f"invalid filter {text!r}")
        name, operator, value = found.groups()
        exact = operator == "==" and name != "type"
        filters.setdefault(name, []).append(f"^{re.escape(value)}$" if exact else value)
    return filters


def _older_than(age: int) -> dict[str, list[str]]:
    """A filter for what was last used so many ns ago; none for 0."""
    return {"until": [f"{age / 1e9:f}s"]} if age else {}


def _record(usage: Usage) -> pb.UsageRecord:
    found = usage.record
    record = pb.UsageRecord(
        ID=found.key, Size=found.size, UsageCount=found.uses, Description=found.description,
        RecordType=found.kind, Shared=usage.shared,
    )  # fmt: skip
    record.CreatedAt.FromNanoseconds(int(found.created * 1e9))
    record.LastUsedAt.FromNanoseconds(int(found.used * 1e9))
    return record
