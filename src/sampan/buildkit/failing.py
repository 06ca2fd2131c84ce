"""How a build's failure travels: the text, and where in the Dockerfile it is, as BuildKit's clients read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from ..dockerfile.errors import DockerfileError
from ..errors import SampanError
from .proto.rpcstatus_pb2 import Status as StatusMessage

if TYPE_CHECKING:
    from .status import Progress

_SOURCE: Final = "github.com/moby/buildkit/errdefs.Source+json"


def failure(error: SampanError, progress: Progress) -> GRPCError:
    """An error with the place that `progress` knows; clients show any status but UNKNOWN before the text."""
    line = error.line if isinstance(error, DockerfileError) else progress.failed_line
    details = [(_SOURCE, located(progress, line))] if line else []
    return GRPCError(Status.UNKNOWN, str(error), details)


def located(progress: Progress, line: int) -> bytes:
    """A line of the Dockerfile with the Dockerfile, as JSON."""
    return msgspec.json.encode({"info": source(progress), "ranges": [line_range(line)]})


def source(progress: Progress) -> dict[str, object]:
    """The Dockerfile, its text in base64."""
    info = progress.source
    return {"filename": info.filename, "data": info.data, "language": info.language}


def line_range(line: int) -> dict[str, object]:
    """One line of a file."""
    return {"start": {"line": line}, "end": {"line": line}}


def message_of(error: GRPCError) -> StatusMessage:
    """An error as a message, for what is told of a build later."""
    found = StatusMessage(code=error.status.value, message=error.message or "")
    for url, value in error.details or ():
        found.details.add(type_url=url, value=value)
    return found


def raised(status: StatusMessage) -> GRPCError:
    """The error that such a message tells of."""
    return GRPCError(Status(status.code), status.message, [(one.type_url, one.value) for one in status.details])
