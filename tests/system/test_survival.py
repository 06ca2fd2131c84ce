"""What clients see when the daemon is killed, and when 200 containers come and go."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..support.daemon import Daemon

WRITERS = 20
LINES = 400


def inspect(daemon: Daemon, ref: str, form: str) -> str:
    return daemon.ok("inspect", "--format", form, ref)


def test_kill_9_of_the_daemon_while_containers_write(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    script = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); [ $((i%50)) = 0 ] && sleep 0.1; done; read x"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: daemon.ok("run", "-di", "--name", f"writer{n}", "busybox", "sh", "-c", script),
                      range(WRITERS)))  # fmt: skip
    daemon.ok(
        "run", "-d", "--name", "ends", "busybox", "sh", "-c", "trap 'echo last words; exit 9' TERM; sleep 99 & wait"
    )
    daemon.ok("run", "-d", "--name", "works", "busybox", "sleep", "1000")
    end = os.pidfd_open(int(inspect(daemon, "ends", "{{.State.Pid}}")))
    daemon.kill()
    signal.pidfd_send_signal(end, signal.SIGTERM)
    assert _ended(end)
    daemon.start()
    expected = "".join(f"line {number}\n" for number in range(LINES))
    for number in range(WRITERS):
        assert inspect(daemon, f"writer{number}", "{{.State.Status}}") == "running"
    _await_line(daemon, f"writer{WRITERS - 1}", f"line {LINES - 1}")
    for number in range(WRITERS):
        _await_line(daemon, f"writer{number}", f"line {LINES - 1}")
        assert daemon.ok("logs", f"writer{number}") + "\n" == expected
    assert inspect(daemon, "ends", "{{.State.Status}} {{.State.ExitCode}}") == "exited 9"
    assert daemon.ok("logs", "ends") == "last words"
    assert daemon.ok("wait", "ends") == "9"
    assert daemon.ok("exec", "works", "echo", "hi") == "hi"
    waiting = daemon.popen(["docker", "wait", "works"], stdout=subprocess.PIPE)
    daemon.ok("stop", "-t", "0", "works")
    assert waiting.communicate(timeout=20)[0] == b"137\n"


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    ended = bool(poll.poll(20_000))
    os.close(pidfd)
    return ended


def _await_line(daemon: Daemon, name: str, line: str) -> None:
    """Follow a log until the line comes."""
    follower = daemon.popen(["docker", "logs", "-f", "--tail", "1", name], stdout=subprocess.PIPE)
    assert follower.stdout is not None
    try:
        for seen in follower.stdout:
            if seen.decode().rstrip("\n") == line:
                return
        raise AssertionError(f"{name} ended without {line!r}")
    finally:
        follower.kill()
        follower.communicate()


def _figures(daemon: Daemon) -> dict[str, int]:
    """What could leak, counted. Memory in KiB."""
    proc = Path(f"/proc/{daemon.pid}")
    resident = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
    groups = [path for path in Path("/sys/fs/cgroup").glob(f"*{daemon.cgroup_parent}/*") if len(path.name) == 64]
    links = daemon.host.check("ip", "-o", "link").splitlines()
    return {
        "memory": int(resident.split()[1]),
        "fds": len(list((proc / "fd").iterdir())),
        "mounts": Path(f"/proc/{daemon.pid}/mountinfo").read_text().count(str(daemon.directory)),
        "cgroups": len(groups),
        "links": len(links),
        "containers": len(list((daemon.data_root / "containers").iterdir())),
        "shims": len(list((daemon.exec_root / "shims").iterdir())),
    }


def test_200_containers_leave_nothing(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()

    def churn(number: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            runs = pool.map(lambda n: daemon.ok("run", "--rm", "busybox", "echo", str(n)), range(number))
            assert list(runs) == [str(n) for n in range(number)]

    churn(80)
    before = _figures(daemon)
    churn(200)
    after = _figures(daemon)
    deadline = time.monotonic() + 10
    while after["links"] > before["links"] and time.monotonic() < deadline:
        time.sleep(0.1)  # the kernel drops a namespace's links when it likes
        after = _figures(daemon)
    memory = after.pop("memory"), before.pop("memory")
    assert memory[0] <= memory[1] * 1.05, memory
    assert after.pop("fds") <= before.pop("fds") + 2
    assert after.pop("links") <= before.pop("links")
    assert after == before
    assert (after["cgroups"], after["mounts"], after["containers"], after["shims"]) == (0, 0, 0, 0)
