"""On a machine where no daemon runs, `sampan` starts one. The machine here is a set of namespaces of its own."""

from __future__ import annotations

import os
import subprocess

from ..support.daemon import BIN

# The paths that a daemon with its defaults uses are empty and private; the pid namespace ends it with the test.
MACHINE = """
for directory in /run /var/lib /var/log /etc/docker; do
    mkdir -p $directory && mount -t tmpfs tmpfs $directory
done
mkdir -p /etc/sampan && mount -t tmpfs tmpfs /etc/sampan
ip link set lo up
exec "$@"
"""
SCRIPT = """
test ! -e /run/sampan.sock
SAMPAN_NO_AUTOSTART=1 sampan ps && exit 1
test ! -e /run/sampan.sock
DOCKER_HOST=unix:///run/sampan.sock sampan ps && exit 2
test ! -e /run/sampan.sock
sampan version --format '{{.Server.Os}}' || { cat /var/log/sampand.log; exit 3; }
first=$(sampan info --format '{{.ID}}')
test "$first" = "$(sampan info --format '{{.ID}}')"
"""


def test_the_first_command_starts_the_daemon() -> None:
    enter = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", MACHINE, "m"]
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/run"}
    done = subprocess.run(
        [*enter, "sh", "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.returncode, done.stdout) == (0, "linux\n"), done
