"""A container's configuration: what was asked for, completed from its image (as Docker's daemon merges them)."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from ..errors import InvalidArgument
from ..model.container import ContainerConfig, HealthConfig
from ..oci.config import ExecutionConfig, Healthcheck

RESERVED_LABEL_PREFIXES = ("dev.sampan.",)
"""Labels that steer the engine; an image may not bring them (S19)."""


def merge(config: ContainerConfig, image: ExecutionConfig) -> None:
    """Complete `config` in place; InvalidArgument when in the end there is nothing to run."""
    config.user = config.user or image.user
    config.working_dir = config.working_dir or image.working_dir
    config.env = _merge_env(config.env or [], image.env or [])
    config.labels = _merge_labels(config.labels or {}, image.labels or {})
    config.exposed_ports = _merge_sets(_or_none(config.exposed_ports), _or_none(image.exposed_ports)) or UNSET
    config.volumes = _merge_sets(config.volumes, image.volumes)
    _merge_command(config, image)
    if config.stop_signal in (UNSET, "") and image.stop_signal:
        config.stop_signal = image.stop_signal
    config.healthcheck = _merge_health(_or_none(config.healthcheck), _or_none(image.healthcheck))
    if not config.shell and image.shell:
        config.shell = image.shell
    if not config.entrypoint and not config.cmd:
        raise InvalidArgument("no command specified")


def _or_none(value: Any) -> Any:
    return None if isinstance(value, UnsetType) else value


def _merge_env(asked: list[str], given: list[str]) -> list[str]:
    names = {variable.partition("=")[0] for variable in asked}
    return asked + [variable for variable in given if variable.partition("=")[0] not in names]


def _merge_labels(asked: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    allowed = {key: value for key, value in given.items() if not key.startswith(RESERVED_LABEL_PREFIXES)}
    return allowed | asked


def _merge_sets(
    asked: dict[str, dict[str, Any]] | None, given: dict[str, dict[str, Any]] | None
) -> dict[str, dict[str, Any]] | None:
    return {**(given or {}), **(asked or {})} or None


def _merge_command(config: ContainerConfig, image: ExecutionConfig) -> None:
    # An entrypoint of the user's own drops the image's command; `--entrypoint ""` arrives as [""] and clears both.
    if config.entrypoint:
        if config.entrypoint == [""]:
            config.entrypoint = None
        return
    if not config.cmd:
        config.cmd = image.cmd
        if image.args_escaped is True:
            config.args_escaped = True
    if config.entrypoint is None:
        config.entrypoint = image.entrypoint


def _merge_health(asked: HealthConfig | None, image: Healthcheck | None) -> HealthConfig | UnsetType:
    if asked is None and image is None:
        return UNSET
    asked = asked or HealthConfig()
    if image is None:
        return asked
    return HealthConfig(
        test=asked.test or image.test,
        interval=asked.interval or image.interval,
        timeout=asked.timeout or image.timeout,
        start_period=asked.start_period or image.start_period,
        start_interval=asked.start_interval or image.start_interval,
        retries=asked.retries or image.retries,
    )
