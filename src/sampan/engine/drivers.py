"""Checks of log and storage options at create time."""

from __future__ import annotations

from ..errors import InvalidArgument
from ..logs import options
from ..model.container import HostConfig, LogConfig


def check_logging(config: LogConfig) -> None:
    """InvalidArgument, in Docker's words, for an unknown driver or option."""
    if config.type not in options.OPTIONS:
        raise InvalidArgument(f'error looking up logging plugin {config.type}: plugin "{config.type}" not found')
    options.validate(config.type, config.config or {})


def check_storage_options(host: HostConfig) -> None:
    """`--storage-opt size=` needs project quotas, which no driver offers yet."""
    options = host.storage_opt
    for name in options if isinstance(options, dict) else ():
        if name.lower() != "size":
            raise InvalidArgument(f"Unknown option {name}")
        raise InvalidArgument("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
