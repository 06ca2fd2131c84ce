"""What is told of builds, under way and ended."""

from __future__ import annotations

import re
from typing import Final

from grpclib.const import Status

from ..errors import InvalidArgument
from .proto.control_pb2 import BuildHistoryRecord, BuildHistoryRequest
from .solves import Solve

_FILTER: Final = re.compile(r"(ref|status)(==|!=|~=)(.*)", re.DOTALL)


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
    """Whether a client asks for it: by its name, and by filters of which one must fit; their parts must all."""
    if request.Ref and record.Ref != request.Ref:
        return False
    facts = {"ref": record.Ref, "status": _status(record)}
    return not request.Filter or any(all(_fits(facts, part) for part in text.split(",")) for text in request.Filter)


def _fits(facts: dict[str, str], text: str) -> bool:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"invalid history filter {text!r}: ref and status are known here")
    name, operator, value = found.groups()
    if operator == "~=":
        return value in facts[name]
    return (facts[name] == value) is (operator == "==")


def _status(record: BuildHistoryRecord) -> str:
    if not record.HasField("CompletedAt"):
        return "running"
    if not record.HasField("error"):
        return "completed"
    return "canceled" if record.error.code == Status.CANCELLED.value else "error"
