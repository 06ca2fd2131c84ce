"""A minimal event loop: one epoll, timers, and SIGCHLD (see `catch_signals`). No asyncio: it costs 30 ms and 3 MB."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # typeshed lacks it
import heapq
import os
import select
import time

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
# HUP and ERR are always reported (epoll_ctl(2)).

UNCLAIMED = 64
"""How many ended children nobody has asked for are remembered: orphans of containers are many."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int], None]


class Timer:
    """A callback that is due once; `cancel` drops it."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """Handlers get the event mask. A handler may watch and forget any fd, its own too."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, tuple[int, Handler]] = {}
        self._timers: list[Timer] = []
        self._children: dict[int, Callable[[int], None]] = {}
        self._unclaimed: dict[int, int] = {}
        self._running = True
        self._wakeup, self._signal_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wakeup, READ, self._on_wakeup)
        _signal.set_wakeup_fd(self._signal_end, warn_on_full_buffer=False)

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` while `events` hold; replaces an earlier watch of the fd."""
        old = self._handlers.get(fd)
        self._handlers[fd] = (events, handler)
        if old is None:
            self._epoll.register(fd, events)
        elif old[0] != events:
            self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching, before the fd is closed; nothing where it is not watched."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watching(self, fd: int) -> bool:
        return fd in self._handlers

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def on_exit(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call back once with the exit status (128 + n for a signal) when the child `pid` is reaped."""
        status = self._unclaimed.pop(pid, None)
        if status is None:
            self._children[pid] = callback
        else:
            self.call_later(0, lambda: callback(status))

    def expect_children(self) -> None:
        """From here on remember who ended: a program is about to leave us children whose pids we learn later."""
        self._unclaimed.clear()

    def is_quiet(self, pid: int) -> bool:
        """Whether nothing is waited for but descriptors and this child, which is ours already and lives."""
        if self._children.keys() != {pid} or any(timer.callback for timer in self._timers):
            return False
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False  # its creator has not quite ended

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        # Whatever called `stop` before, in a keeper that took over as its container ended, meant it.
        while self._running:
            for fd, mask in self._epoll.poll(self._timeout(), 32):
                entry = self._handlers.get(fd)  # an earlier handler of this round may have dropped it
                if entry is not None:
                    entry[1](mask)
            self._run_timers()

    def _timeout(self) -> float:
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].due - time.monotonic()) if self._timers else -1

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                callback()

    def _on_wakeup(self, _mask: int) -> None:
        try:
            os.read(self._wakeup, 512)
        except BlockingIOError:
            pass
        self.reap()

    def reap(self) -> None:
        """Collect every child that has ended: those that were adopted as subreaper too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            self._ended(pid, code if code >= 0 else 128 - code)

    def _ended(self, pid: int, status: int) -> None:
        callback = self._children.pop(pid, None)
        if callback is not None:
            callback(status)
            return
        self._unclaimed[pid] = status
        if len(self._unclaimed) > UNCLAIMED:
            del self._unclaimed[next(iter(self._unclaimed))]


def _caught(_signo: int, _frame: object) -> None:
    """A handler in place of SIG_IGN, which execve would pass on to the container (signal(7))."""


def catch_signals() -> None:
    """Once, before any loop: SIGCHLD wakes it, SIGPIPE is EPIPE (ignoring it would be inherited by containers).

    `_signal` is the C half of `signal`: without the enums, which a shim would un-share 150 KB for.
    """
    _signal.signal(_signal.SIGCHLD, _caught)
    _signal.signal(_signal.SIGPIPE, _caught)


def default_signals() -> None:
    """In the zygote: what the daemon handles is not its."""
    for signo in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGUSR1):
        _signal.signal(signo, _signal.SIG_DFL)


def ignore_children() -> None:
    """In the zygote: the kernel reaps (waitpid(2))."""
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)


def forget_wakeup() -> None:
    """In a child that has no loop, or no more."""
    _signal.set_wakeup_fd(-1)
