"""`docker import`: an image of one layer from a tar of a root file system."""

from __future__ import annotations

from msgspec import Struct, field

from ..model.times import now
from ..oci.config import ExecutionConfig, History, ImageConfig, RootFS
from ..oci.platform import Platform
from .changes import apply_changes
from .layers import Layer


class ImportOptions(Struct, frozen=True):
    """`source` is shown in the default comment: a URL, or `-` for standard input."""

    platform: Platform
    source: str = "-"
    message: str = ""
    author: str = ""
    changes: list[str] = field(default_factory=list)


def import_config(options: ImportOptions) -> ImageConfig:
    """The configuration but for its layer; raises InvalidArgument for a bad change, before any byte is read."""
    execution = ExecutionConfig()
    apply_changes(execution, options.changes)
    created, platform = now(), options.platform.normalized()
    comment = options.message or f"Imported from {options.source}"
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        config=execution,
        created=created,
        author=options.author,
        comment=comment,
        history=[History(created=created, author=options.author, comment=comment)],
    )


def with_layer(config: ImageConfig, layer: Layer) -> ImageConfig:
    """The configuration upon its one layer."""
    config.rootfs = RootFS(diff_ids=[layer.diff_id])
    return config
