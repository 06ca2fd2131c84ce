"""Image configuration: OCI image-spec, config, with the fields that Docker adds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from ..errors import InvalidArgument
from .platform import Platform

MAX_CONFIG_SIZE = 8 << 20


class Healthcheck(Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """Docker's `HEALTHCHECK`; times in nanoseconds."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ExecutionConfig(Struct, rename="pascal", kw_only=True):
    """The defaults of containers made from the image.

    The first group is always written, as Docker does; the second only where set.
    """

    user: str = ""
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, dict[str, Any]] | msgspec.UnsetType | None = msgspec.UNSET
    stop_signal: str | msgspec.UnsetType = msgspec.UNSET
    stop_timeout: int | msgspec.UnsetType | None = msgspec.UNSET
    healthcheck: Healthcheck | msgspec.UnsetType | None = msgspec.UNSET
    shell: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    args_escaped: bool | msgspec.UnsetType = msgspec.UNSET


class RootFS(Struct, frozen=True):
    """`diff_ids`: digests of the uncompressed layers, lowest first."""

    type: str = "layers"
    diff_ids: list[str] = field(default_factory=list)


class History(Struct, frozen=True, omit_defaults=True):
    """One line of `docker history`; `created` is RFC 3339."""

    created: str | None = None
    author: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(Struct, kw_only=True, omit_defaults=True):
    """The document whose digest is the image's ID. `architecture`, `os`, `config` and `rootfs` are always written."""

    architecture: str
    os: str
    rootfs: RootFS = RootFS()
    config: ExecutionConfig | None = None
    created: str | None = None
    author: str = ""
    comment: str = ""
    container: str = ""
    docker_version: str = ""
    history: list[History] | None = None
    variant: str = ""
    os_version: str = field(default="", name="os.version")
    os_features: list[str] | None = field(default=None, name="os.features")
    inline_cache: bytes = field(default=b"", name="moby.buildkit.cache.v0")
    """BuildKit's inline build cache."""

    @property
    def platform(self) -> Platform:
        """What the image runs on."""
        features = tuple(self.os_features or ())
        return Platform(self.architecture, self.os, self.os_version, features, self.variant)


def parse(data: bytes) -> ImageConfig:
    """Parse a configuration blob; raises InvalidArgument when it is none."""
    if len(data) > MAX_CONFIG_SIZE:
        raise InvalidArgument(f"image configuration is larger than {MAX_CONFIG_SIZE} bytes")
    try:
        config = msgspec.json.decode(data, type=ImageConfig)
        for moment in (config.created, *(line.created for line in config.history or ())):
            _check_time(moment)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise InvalidArgument(f"invalid image configuration: {error}") from error
    return config


def _check_time(text: str | None) -> None:
    """What shows and sorts images counts on a time that is one."""
    if text:
        datetime.fromisoformat(text).timestamp()


def encode(config: ImageConfig) -> bytes:
    """JSON as it is stored; its digest is the image's ID."""
    document = msgspec.to_builtins(config)
    document.setdefault("rootfs", {"type": "layers", "diff_ids": []})
    document["rootfs"] = {"type": config.rootfs.type, "diff_ids": config.rootfs.diff_ids}
    return msgspec.json.encode(document, order="sorted")
