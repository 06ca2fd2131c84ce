"""Checks of log and storage options at create time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import InvalidArgument
from ..logs import options
from ..model.container import HostConfig, LogConfig
from ..model.quantity import parse_size
from ..storage import Layers

if TYPE_CHECKING:
    from .engine import Engine


def check_logging(config: LogConfig) -> None:
    """InvalidArgument, in Docker's words, for an unknown driver or option."""
    if config.type not in options.OPTIONS:
        raise InvalidArgument(f'error looking up logging plugin {config.type}: plugin "{config.type}" not found')
    options.validate(config.type, config.config or {})


_NO_QUOTA = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
_DEFAULT_SIZE = "overlay2.size"
_IGNORED = "overlay2.override_kernel_check"


def layer_limit(engine: Engine, host: HostConfig) -> int:
    """The bytes of `--storage-opt size=`, or the daemon's `overlay2.size`; 0 for none. InvalidArgument as dockerd's."""
    options = host.storage_opt if isinstance(host.storage_opt, dict) else {}
    for name in options:
        if name.lower() != "size":
            raise InvalidArgument(f"Unknown option {name}")
    size = next(map(parse_size, options.values()), 0) or default_limit(engine.config.storage_opts)
    if options and not engine.snapshots.has_limits:
        raise InvalidArgument(_NO_QUOTA)
    return size


def default_limit(given: Iterable[str]) -> int:
    """What the daemon's storage options say about the size of every container's layer."""
    known = dict(option.partition("=")[::2] for option in given)
    return parse_size(known[_DEFAULT_SIZE]) if _DEFAULT_SIZE in known else 0


def check_storage_options(snapshots: Layers, given: Iterable[str]) -> None:
    """The daemon's: InvalidArgument, in dockerd's words, for what the driver does not know or cannot do."""
    for option in given:
        name, equals, _ = option.partition("=")
        if not equals:
            raise InvalidArgument(f"Unable to parse storage-opt: {option}")
        if snapshots.name != "overlay2" or name not in (_DEFAULT_SIZE, _IGNORED):
            raise InvalidArgument(f"{snapshots.name}: unknown option {name}")
    if default_limit(given) and not snapshots.has_limits:
        raise InvalidArgument("Storage option overlay2.size not supported. Filesystem does not support Project Quota")
