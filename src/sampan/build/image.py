"""From a solved target to an image: configuration, history, layers."""

from __future__ import annotations

from datetime import UTC, datetime

from ..model.times import now, rfc3339
from ..oci.config import History, ImageConfig, RootFS
from .frontend.request import Target
from .result import Result

COMMENT = "buildkit.dockerfile.v0"


def configuration(target: Target, result: Result, epoch: int | None) -> ImageConfig:
    """The image's document; with `epoch` all its times are that second, so that equal builds have equal IDs."""
    base, platform = target.base, target.platform
    times = _times(target, result, epoch)
    history = list(base.history or []) if base is not None else []
    history += [
        History(created=time, created_by=step.created_by, comment=COMMENT, empty_layer=step.vertex is None)
        for step, time in zip(target.steps, times, strict=True)
    ]
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        os_version=base.os_version if base is not None else "",
        config=target.config,
        created=times[-1] if times else base.created if base is not None else now(),
        author=target.author,
        history=history,
        rootfs=RootFS(diff_ids=[layer.diff_id for layer in result.layers]),
    )


def _times(target: Target, result: Result, epoch: int | None) -> list[str]:
    """When each step was made, so that a build whose steps are all cached gives the same image again.

    A step without a layer has the time of the layer below it.
    """
    if epoch is not None:
        return [moment(epoch)] * len(target.steps)
    made = [rfc3339(int(seconds * 1_000_000) * 1000) for seconds in result.made]
    latest = (target.base.created if target.base is not None else None) or (made[0] if made else now())
    times = []
    for step in target.steps:
        if step.vertex is not None and made:
            latest = made.pop(0)
        times.append(latest)
    return times


def moment(seconds: int) -> str:
    """RFC 3339 of a second since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
