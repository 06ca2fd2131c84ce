"""What is told of builds, under way and ended."""

from __future__ import annotations

from .proto.control_pb2 import BuildHistoryRecord, BuildHistoryRequest
from .solves import Solve


def record_of(solve: Solve) -> BuildHistoryRecord:
    """A build as its history shows it."""
    asked, steps = solve.request, solve.log.vertices
    record = BuildHistoryRecord(
        Ref=asked.Ref, Frontend=asked.Frontend, FrontendAttrs=dict(asked.FrontendAttrs), Exporters=asked.Exporters,
        CreatedAt=solve.started, ExporterResponse=solve.response, numTotalSteps=len(steps),
        numCachedSteps=sum(step.cached for step in steps),
        numCompletedSteps=sum(step.HasField("completed") for step in steps), numWarnings=solve.progress.warnings,
    )  # fmt: skip
    if solve.ended.seconds:
        record.CompletedAt.CopyFrom(solve.ended)
    if solve.error.message:
        record.error.CopyFrom(solve.error)
    return record


def matches(record: BuildHistoryRecord, request: BuildHistoryRequest) -> bool:
    """Whether a client asks for it."""
    return not request.Ref or record.Ref == request.Ref
