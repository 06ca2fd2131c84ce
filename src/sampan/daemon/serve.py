"""The running daemon: engine, API and listeners; signals end or reload it."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys

from ..api.app import App
from ..build.recovery import recover as recover_builds
from ..engine.engine import Engine
from . import listeners, memory
from .checks import ignored
from .config import DaemonConfig
from .reload import reload
from .start import Zygote

log = logging.getLogger("sampand")

GRACE_SECONDS = 10.0
"""How long requests in progress may take when the daemon ends."""


async def serve(config: DaemonConfig, zygote: Zygote | None) -> None:
    """Serve until SIGTERM or SIGINT; containers go on running."""
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    stop = asyncio.Event()
    async with Engine.open(config.engine, zygote) as engine:
        await recover_builds(engine)
        settling = memory.Settling(asyncio.get_running_loop())
        app = App(engine, settling.touch)
        servers = await listeners.listen(config, app.connection)
        servers += await listeners.listen_for_metrics(config.settings.metrics_addr, app.metrics_connection)
        _on_signals(config, engine, stop)
        for warning in (*ignored(config.settings), *engine.warnings):
            log.warning("%s", warning)
        log.info("API listens on %s", ", ".join(config.hosts))
        _notify("READY=1")
        settling.touch()
        await stop.wait()
        _notify("STOPPING=1")
        settling.close()
        await _close(app, servers)
    listeners.remove_sockets(config.hosts)


def _on_signals(config: DaemonConfig, engine: Engine, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not loop.add_signal_handler, which imports inspect.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(reload, config, engine))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


async def _close(app: App, servers: list[asyncio.Server]) -> None:
    """Accept no more, end streams, and let requests in progress finish."""
    for server in servers:
        server.close()
    app.end()
    if tasks := app.tasks():
        await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in (left := app.tasks()):
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=GRACE_SECONDS)  # while what they tidy up with is still there


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing where it does not ask."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        try:
            notifier.connect("\0" + address[1:] if address.startswith("@") else address)
            notifier.send(state.encode())
        except OSError as error:
            log.warning("cannot notify %s: %s", address, error)
