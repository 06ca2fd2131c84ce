"""The tests' own network namespace: the machine's links, rules and sysctls are out of reach of whatever goes wrong.

`enter` is called once, when pytest loads the first conftest; xdist's workers and all that they start inherit it.
"""

from __future__ import annotations

import os
import subprocess

from sampan.linux.namespaces import CLONE_NEWNET, unshare

_VARIABLE = "SAMPAN_TEST_MACHINE"
"""Where a descriptor of the machine's own namespace is: `/proc/<pid of the first process>/fd/<number>`."""


def enter() -> None:
    """Move this process into a fresh namespace; nothing without the privilege (there is no danger then either)."""
    if os.environ.get(_VARIABLE) or os.geteuid() != 0:
        return
    machine = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWNET)
    os.environ[_VARIABLE] = f"/proc/{os.getpid()}/fd/{machine}"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def command(*argv: str) -> list[str]:
    """The argument vector that runs `argv` in the machine's namespace: to look, or to fetch packages."""
    place = os.environ.get(_VARIABLE)
    return ["nsenter", f"--net={place}", "--", *argv] if place else list(argv)


def network() -> list[str]:
    """What there is of links, nft tables, named namespaces and forwarding, a line each."""
    script = """
    ip -o link | cut -d: -f2 | sed 's/^ */link /; s/@.*//'
    nft list tables 2>/dev/null
    ls /run/netns 2>/dev/null | sed 's/^/netns /'
    for name in ipv4/ip_forward ipv6/conf/all/forwarding; do grep -q 1 /proc/sys/net/$name && echo "$name 1"; done
    true
    """
    done = subprocess.run(command("sh", "-c", script), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def owner(pid: int) -> str | None:
    """`<pid namespace> <pid> <start time>`, which no later process has; None when it has ended (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return f"{os.readlink(f'/proc/{pid}/ns/pid')} {pid} {file.read().rpartition(')')[2].split()[19]}"
    except OSError:
        return None
