"""What stays of a shim while its container is left alone.

A parked shim has touched 0.5 MB of the zygote's pages, one that has run a container's start 1.8 MB. So the start, and
whatever else there is to do, runs in a child, the worker. Once all is quiet the worker hands its state and its
descriptors to its parent and ends; container init becomes the parent's child (subreaper). That one waits until
something happens and only then becomes a whole shim by itself.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # typeshed lacks it
import os
import select

from sampan.linux import prctl
from sampan.ocirun.channel import Channel, Closed

from . import settling
from .container import Container
from .loop import Loop
from .tasks import redirect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def keep(work: Callable[[Channel], None], control: int) -> None:
    """Run `work`, which has the descriptor `control`, in a child, and take over what it hands over, if it does."""
    ours, theirs = Channel.pair()
    worker = os.fork()
    if worker == 0:
        ours.close()
        prctl.end_with_parent()
        work(theirs)
        return
    theirs.close()
    os.close(control)
    try:
        state, fds = ours.receive()
    except Closed:
        return  # the container's whole life went by
    ours.close()
    os.waitpid(worker, 0)
    _wait(state["init_pid"], fds)
    redirect(f"{state['directory']}/shim.log")
    loop = Loop()
    settling.take_over(Container(loop, state["container_id"], state["directory"], None), state, fds)
    loop.reap()
    loop.run()


def _wait(init_pid: int, fds: list[int]) -> None:
    """Until a descriptor has something to read or is hung up, or a child has ended."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    if os.waitid(os.P_PID, init_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        poll = select.poll()
        for fd in (woken, *fds):
            poll.register(fd, select.POLLIN)
        poll.poll()
    _signal.set_wakeup_fd(-1)
    os.close(woken)
    os.close(wake)
