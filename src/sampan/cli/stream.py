"""Joining our standard streams to a container's, and our signals to its process."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import nullcontext

from sampan.errors import SampanError

from .terminal import DEFAULT_DETACH_KEYS, Detached, DetachWatcher, is_terminal, parse_detach_keys, raw, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.client.sync import Client, Hijacked

    from .session import Session

NOT_PROXIED = frozenset(
    {
        signal.SIGCHLD,
        signal.SIGPIPE,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)
"""Docker forwards all but the first four; the faults are our own process's."""
STDIN, STDOUT, STDERR = 0, 1, 2


def detach_keys(session: Session, given: str) -> bytes:
    return parse_detach_keys(given or session.config.text("detachKeys") or DEFAULT_DETACH_KEYS)


class Streams:
    """One attachment. `run` returns when the container closes its output; Detached when the user leaves."""

    def __init__(self, hijacked: Hijacked, *, stdin: bool, tty: bool, keys: bytes) -> None:
        self._hijacked, self._stdin, self._tty = hijacked, stdin, tty
        self._watcher = DetachWatcher(keys if tty else b"")
        self._detached = False

    def run(self) -> None:
        use_raw = self._stdin and self._tty and is_terminal(STDIN)
        with raw(STDIN) if use_raw else nullcontext():
            if self._stdin:
                threading.Thread(target=self._send_input, daemon=True).start()
            self._receive()
        if self._detached:
            raise Detached

    def _receive(self) -> None:
        for number, payload in self._hijacked.frames():
            if self._detached:
                return
            write_all(STDERR if number == STDERR else STDOUT, payload)

    def _send_input(self) -> None:
        try:
            while data := os.read(STDIN, 65536):
                self._hijacked.socket.sendall(self._watcher.feed(data))
            self._hijacked.close_write()
        except Detached:
            self._detached = True
            self._hijacked.socket.shutdown(2)
        except OSError:
            return  # the container is gone, or our input is: the receiving side ends by itself


def proxy_signals(client: Client, container_id: str) -> None:
    """Send every signal that we get to the container's process."""

    def forward(number: int, frame: object) -> None:
        try:
            client.clone().container_kill(container_id, signal.Signals(number).name.removeprefix("SIG"))
        except SampanError:
            return  # it has ended: our own wait will tell

    for number in signal.valid_signals() - NOT_PROXIED:
        if number < signal.SIGRTMIN:
            signal.signal(number, forward)
