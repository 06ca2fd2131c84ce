"""sampan-runc beside Debian's runc: the same command lines, bundles, statuses and state."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.model.container import ContainerConfig, HostConfig, Ulimit
from tests.support.bundles import SAMPAN_RUNC, Bundle

pytestmark = pytest.mark.skipif(shutil.which("runc") is None, reason="Debian's runc is not installed")


@pytest.fixture
def both(tmp_path: Path) -> Iterator[list[Bundle]]:
    made = [Bundle(tmp_path / "runc", ("runc",)), Bundle(tmp_path / "sampan", SAMPAN_RUNC)]
    yield made
    for bundle in made:
        bundle.close()


def same(both: list[Bundle], *words: str) -> int:
    """The status of a command line, which must be the same and write the same kind of output."""
    results = [bundle.call(*words) for bundle in both]
    assert results[0].status == results[1].status, results
    assert bool(results[0].out) == bool(results[1].out), results
    return results[0].status


@pytest.mark.parametrize(
    "words",
    [
        ["state", "nosuch"], ["start", "nosuch"], ["kill", "nosuch"], ["delete", "nosuch"], ["pause", "nosuch"],
        ["exec", "nosuch", "true"], ["delete", "--force", "nosuch"], ["delete", "-f", "nosuch"], ["list"],
        ["list", "--quiet"], ["state"], ["start"], ["kill"], ["create", "--nosuch", "x"], ["nosuch"], ["state", "a/b"],
        ["create", "--bundle", "/nosuch", "x"], ["list", "--format", "nosuch"], ["features"], ["--version"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_command_lines_without_a_container(both: list[Bundle], words: list[str]) -> None:
    same(both, *words)


def drive(bundle: Bundle) -> list[Any]:
    """A container's whole life; what a caller sees of it."""
    seen: list[Any] = []
    spec = bundle.spec("sleep", "600")
    pid_file = bundle.directory / "pid"
    container_id = bundle.create(spec, "--pid-file", str(pid_file))

    def status(*words: str) -> None:
        seen.append((*words, bundle.call(*[word.replace("ID", container_id) for word in words]).status))

    def state() -> dict[str, Any]:
        document: dict[str, Any] = json.loads(bundle.call("state", container_id).out)
        seen.append((sorted(document), document["status"], document["bundle"] == str(bundle.directory)))
        return document

    assert state()["pid"] == int(pid_file.read_text())
    status("start", "ID")
    status("start", "ID")
    pid = state()["pid"]
    status("create", "--bundle", str(bundle.directory), "ID")
    for command in (["sh", "-c", "exit 7"], ["nosuch"], ["/etc"], ["sh", "-c", "kill -9 $$"]):
        seen.append((command, bundle.call("exec", container_id, *command).status))
    seen.append(bundle.call("exec", "--user", "1000:50", "--cwd", "/tmp", "--env", "A=b", container_id, "sh", "-c",
                            "id -u; id -g; pwd; echo $A $HOME").out)  # fmt: skip
    seen.append(json.loads(bundle.call("ps", "--format", "json", container_id).out) == [pid])
    status("pause", "ID")
    state()
    status("exec", "ID", "true")
    status("resume", "ID")
    status("update", "--pids-limit", "50", "ID")
    status("delete", "ID")
    status("events", "--stats", "ID")
    status("kill", "ID", "NOSUCH")
    status("kill", "ID", "KILL")
    deadline = time.monotonic() + 20
    while json.loads(bundle.call("state", container_id).out)["status"] != "stopped":
        assert time.monotonic() < deadline
        time.sleep(0.05)  # another process reaps it
    state()
    status("start", "ID")
    status("exec", "ID", "true")
    status("delete", "ID")
    status("state", "ID")
    return [[str(bundle.directory) not in str(item) and item for item in entry] if isinstance(entry, tuple) else entry
            for entry in seen]  # fmt: skip


def test_the_life_of_a_container(both: list[Bundle]) -> None:
    runc, ours = (drive(bundle) for bundle in both)
    assert runc == ours


_SCRIPT = """
id; pwd; hostname; env | sort; ulimit -n; umask
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
ls -l /dev | awk '{print $1, $3, $4, $NF}'
cut -d' ' -f4-6,9- /proc/self/mountinfo | sed 's/ master:[0-9]*//; s/ - / /' |\\
    grep -v -e '^/[^ ]* / ' -e ' /sys/fs/cgroup ' | sort
for f in /proc/kcore /proc/keys /proc/timer_list /sys/firmware; do stat -c '%n %F' $f 2>/dev/null; done
cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start
ls /proc/self/fd | wc -l; grep -v '^0:' /proc/self/cgroup | grep -c oci-
"""


@pytest.mark.parametrize("user", ["", "ann"])
def test_what_a_program_sees(both: list[Bundle], user: str) -> None:
    """Identity, limits, capabilities, devices, mounts with their flags, masks, environment, descriptors.

    But for the tmpfs that holds the v1 hierarchies: runc 1.1.5 leaves it writable, we do not.
    """
    outputs = []
    for bundle in both:
        spec = bundle.spec("sh", "-c", _SCRIPT, config=ContainerConfig(user=user, working_dir="/w/d"),
                           host=HostConfig(oom_score_adj=100), ulimits=[Ulimit("nofile", 99, 100)])  # fmt: skip
        result = bundle.run(spec)
        assert result.status == 0, result
        out = re.sub(r"oci-\d+-\d+", "oci", result.out.replace(str(bundle.directory), ""))
        outputs.append(out.splitlines())
    assert outputs[0] == outputs[1]
