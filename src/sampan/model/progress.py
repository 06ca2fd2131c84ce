"""Docker's progress stream: one JSON object a line, drawn as bars by its clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field


class ProgressDetail(Struct, frozen=True, omit_defaults=True):
    """Bytes so far and in all; both absent when a step has no measure."""

    current: int = 0
    total: int = 0


class ErrorDetail(Struct, frozen=True, omit_defaults=True):
    """`code` is an exit status where there is one."""

    message: str
    code: int = 0


class Progress(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line. `status` may carry an `id` (a layer) and a detail; `stream` is plain text; `error` ends the stream."""

    stream: str = ""
    status: str = ""
    progress_detail: ProgressDetail | None = field(default=None, name="progressDetail")
    progress: str = ""
    id: str = ""
    error_detail: ErrorDetail | None = field(default=None, name="errorDetail")
    error: str = ""
    aux: dict[str, Any] | str | None = None


Report = Callable[[Progress], None]
"""Receives lines on the event loop's thread; must not block."""


def layer_status(layer: str, status: str) -> Progress:
    """A layer's step without a measure, with the empty detail that Docker sends along."""
    return Progress(status=status, progress_detail=ProgressDetail(), id=layer)


def failure(message: str) -> Progress:
    """The last line of a stream that failed."""
    return Progress(error_detail=ErrorDetail(message), error=message)


def ignore(_: Progress) -> None:
    """A Report for those who do not watch."""
