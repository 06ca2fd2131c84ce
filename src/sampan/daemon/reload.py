"""SIGHUP: take over what daemon.json says of the settings that may change while containers run."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from ..engine.config import EngineConfig
from ..engine.engine import Engine
from ..engine.registries import Registries, registry_config
from ..errors import InvalidArgument
from ..oci.shortnames import ShortNames
from . import config as configuration
from .config import DaemonConfig

log = logging.getLogger("sampand")


def reload(config: DaemonConfig, engine: Engine) -> None:
    """Read the file again; a mistake in it is logged and changes nothing."""
    if not config.file:
        log.info("got signal to reload configuration, but there is no configuration file")
        return
    log.info("got signal to reload configuration, reloading from: %s", config.file)
    try:
        fresh = configuration.load(config.line)
    except InvalidArgument as error:
        log.error("%s", error)
        return
    engine.config = merged(engine.config, fresh.engine)
    # Pulls in progress go on with the settings that they began with.
    engine.images.short_names = ShortNames.of(engine.config.registry.default, engine.config.registry.search)
    engine.registries = Registries(registry_config(engine.config))
    debug = logging.DEBUG if fresh.settings.debug else logging.INFO
    logging.getLogger().setLevel(debug)
    shown = configuration.reloaded(fresh.settings)
    log.info("reloaded configuration: %s", shown)
    engine.events.publish("daemon", "reload", "", {"name": engine.config.name, **shown})


def merged(old: EngineConfig, new: EngineConfig) -> EngineConfig:
    """The old configuration with the reloadable parts of the new one."""
    return replace(
        old,
        debug=new.debug,
        features=new.features,
        labels=new.labels,
        registry=new.registry,
        runtimes=new.runtimes,
        shutdown_timeout=new.shutdown_timeout,
        container=replace(old.container, runtime=new.container.runtime),
    )
