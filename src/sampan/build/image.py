"""From a solved target to an image: configuration, history, layers."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from ..image.images import now
from ..oci.config import ExecutionConfig, History, ImageConfig, RootFS
from .frontend.request import Target
from .result import Result

COMMENT = "buildkit.dockerfile.v0"


def configuration(target: Target, result: Result, epoch: int | None) -> ImageConfig:
    """The image's document; with `epoch` all its times are that second, so that equal builds have equal IDs."""
    created = now() if epoch is None else moment(epoch)
    base, platform = target.base, target.platform
    history = list(base.history or []) if base is not None else []
    history += [
        History(created=created, created_by=step.created_by, comment=COMMENT, empty_layer=step.vertex is None)
        for step in target.steps
    ]
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        os_version=base.os_version if base is not None else "",
        config=_trimmed(target.config),
        created=created,
        author=target.author,
        history=history,
        rootfs=RootFS(diff_ids=[layer.diff_id for layer in result.layers]),
    )


def _trimmed(config: ExecutionConfig) -> ExecutionConfig:
    """ONBUILD's triggers stay, what only the builder used goes."""
    copy: ExecutionConfig = msgspec.structs.replace(config)
    if not copy.working_dir:
        copy.working_dir = "/"
    return copy


def moment(seconds: int) -> str:
    """RFC 3339 of a second since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
