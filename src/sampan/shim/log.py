"""The container's log on the shim's loop."""

from __future__ import annotations

import time

from sampan.logs import writers
from sampan.logs.info import LogInfo
from sampan.logs.writers import is_sink

from .loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.logs.writers import Sink, Writer
    from sampan.rpc import messages

    from .loop import Loop, Timer

CLOSE_SECONDS = 10.0
"""How long a sink may take for what is left at the end (Docker's loggerCloseTimeout)."""


class LogPump:
    """Feeds the writers and watches their sinks; `on_room` is called when a full one has room again."""

    def __init__(self, loop: Loop, setup: messages.LogSetup) -> None:
        info = LogInfo(**setup.info)
        self._loop, self.setup = loop, setup
        self._writers: list[Writer] = writers.open(setup.driver, setup.config, setup.path, info)
        self._pumps = [SinkPump(loop, writer, self._room) for writer in self._writers if is_sink(writer)]
        self.on_room: Callable[[], None] = _ignore

    @property
    def full(self) -> bool:
        return any(pump.sink.full for pump in self._pumps)

    @property
    def is_quiet(self) -> bool:
        """Whether all that was given is written, to files only."""
        return not self._pumps and not any(writer.pending for writer in self._writers)

    def write(self, stream: int, data: bytes, timestamp_ns: int) -> None:
        for writer in self._writers:
            writer.write(stream, data, timestamp_ns)
        for pump in self._pumps:
            pump.update()

    def end(self, stream: int) -> None:
        for writer in self._writers:
            writer.end(stream, time.time_ns())
        for pump in self._pumps:
            pump.update()

    def _room(self) -> None:
        if not self.full:
            self.on_room()

    def close(self, on_closed: Callable[[], None] = lambda: None) -> None:
        """Close every writer, once the sinks have taken what is left, and call back."""
        deadline = self._loop.call_later(CLOSE_SECONDS, lambda: self._closed(on_closed)) if self._pumps else None

        def check() -> None:
            if all(pump.sink.drained() for pump in self._pumps):
                if deadline is not None:
                    deadline.cancel()
                self._closed(on_closed)

        for pump in self._pumps:
            pump.on_room = check
        check()

    def _closed(self, on_closed: Callable[[], None]) -> None:
        for pump in self._pumps:
            pump.close()
        self._pumps.clear()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        on_closed()


class SinkPump:
    """Watches one sink's socket."""

    def __init__(self, loop: Loop, sink: Sink, on_room: Callable[[], None]) -> None:
        self._loop, self.sink, self.on_room = loop, sink, on_room
        self._fd = -1
        self._timer: Timer | None = None
        self.update()

    def update(self) -> None:
        fd, writing, seconds = self.sink.poll()
        if self._fd >= 0 and fd != self._fd:
            self._loop.forget(self._fd)
        self._fd = fd
        if fd >= 0:
            self._loop.watch(fd, READ | (WRITE if writing else 0), self._on_event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds >= 0:
            self._timer = self._loop.call_later(seconds, self._on_timer)

    def _on_event(self, _mask: int) -> None:
        # The sink may close its socket in `ready`; epoll must not know it any more by then.
        self.sink.ready()
        self.update()
        self.on_room()

    def _on_timer(self) -> None:
        self._timer = None
        self._on_event(0)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.forget(self._fd)
        if self._timer is not None:
            self._timer.cancel()


def _ignore() -> None:
    pass
