"""A build's events as dockerd's stream of `POST /build?version=2`: BuildKit's messages, base64 in auxiliary lines."""

from __future__ import annotations

from base64 import b64encode
from secrets import token_hex

from ..build.progress import BuildEvent
from ..buildkit.proto.control_pb2 import StatusResponse
from ..buildkit.status import Progress as Statuses
from ..buildkit.status import StatusLog
from ..model.progress import Progress, Report


class TraceLog:
    """A listener. A `quiet` build tells nothing unless it fails."""

    def __init__(self, report: Report, *, quiet: bool) -> None:
        self._report = report
        self._traces = _Traces(report, quiet=quiet)
        self._statuses = Statuses(self._traces, token_hex(16))

    def __call__(self, event: BuildEvent) -> None:
        self._statuses(event)

    def done(self, image: str) -> None:
        """The image is there."""
        quiet = self._traces.quiet
        self._report(Progress(stream=f"{image}\n") if quiet else Progress(id="moby.image.id", aux={"ID": image}))

    def failed(self) -> None:
        """Tell what a quiet build has kept to itself."""
        for line in self._traces.kept:
            self._report(line)


class _Traces(StatusLog):
    """Passes each message on instead of keeping it."""

    def __init__(self, report: Report, *, quiet: bool) -> None:
        super().__init__()
        self.quiet = quiet
        self.kept: list[Progress] = []
        self._report = report

    def tell(self, response: StatusResponse) -> None:
        line = Progress(id="moby.buildkit.trace", aux=b64encode(response.SerializeToString()).decode())
        if self.quiet:
            self.kept.append(line)
        else:
            self._report(line)
