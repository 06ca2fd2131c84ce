"""Docker's lines about layers that are being pulled."""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct, field

from ..model.progress import Progress, ProgressDetail, Report, layer_status
from ..model.quantity import human_size
from ..oci import digest as digests
from ..registry.download import Download, DownloadReader

_INTERVAL = 0.1


class LayerProgress(Struct):
    """One layer: its download, its reader while it is unpacked, and what was last said about it."""

    download: Download
    reader: DownloadReader | None = None
    _said: tuple[str, int] = ("", 0)
    _milestones: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The twelve digits that Docker shows."""
        return digests.short(self.download.descriptor.digest)

    @property
    def done(self) -> bool:
        """Whether the last line about it was said."""
        return "Pull complete" in self._milestones

    def tick(self, report: Report) -> None:
        """Say what has changed since the last time."""
        total = self.download.descriptor.size
        if self.download.state == "waiting":
            self._say(report, "Waiting", 0, 0)
        elif self.download.state == "downloading":
            self._say(report, "Downloading", self.download.current, total)
        elif self.download.state == "retrying":
            left = max(1, round(self.download.retry_at - time.monotonic()))
            self._say(report, f"Retrying in {left} second{'s' if left > 1 else ''}", 0, 0)
        elif self.download.complete:
            self._downloaded(report)
            if self.reader is not None and self.reader.offset:
                self._say(report, "Extracting", self.reader.offset, total)

    def _say(self, report: Report, status: str, current: int, total: int) -> None:
        if self._said == (status, current):
            return
        self._said = (status, current)
        if total:
            report(measured(self.id, status, current, total))
        else:
            report(layer_status(self.id, status))

    def _downloaded(self, report: Report) -> None:
        self._milestone(report, "Verifying Checksum")
        self._milestone(report, "Download complete")

    def _milestone(self, report: Report, status: str) -> None:
        if status not in self._milestones:
            self._milestones.append(status)
            report(layer_status(self.id, status))

    def finish(self, report: Report) -> None:
        """The layer is unpacked."""
        self._downloaded(report)
        self._milestone(report, "Pull complete")


async def keep_reporting(layers: list[LayerProgress], report: Report) -> None:
    """Tick until cancelled."""
    while True:
        for layer in layers:
            if not layer.done:
                layer.tick(report)
        await asyncio.sleep(_INTERVAL)


def measured(layer: str, status: str, current: int, total: int) -> Progress:
    """A line with a bar, in numbers and drawn."""
    detail = ProgressDetail(current, total)
    return Progress(status=status, progress_detail=detail, progress=bar(current, total), id=layer)


def bar(current: int, total: int) -> str:
    """As Docker draws it: fifty columns, then the sizes."""
    filled = min(50, current * 50 // total) if total else 0
    drawn = "=" * 50 if filled >= 50 else "=" * filled + ">" + " " * (50 - filled - 1)
    return f"[{drawn}{'>' if filled >= 50 else ''}] {human_size(current):>8}/{human_size(total)}"
