"""Containers through their lives: start, stop, wait, logs, lists, by the stock client."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from ..support.daemon import Daemon
from ..support.waiting import until

TRAP = "trap 'exit 4' TERM USR1; while :; do sleep 0.05; done"


def test_stop_kill_restart_pause_rename_wait(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "-d", "--name", name, "--network", "none", "busybox", "sh", "-c", TRAP)
    waiting = daemon.popen(["docker", "wait", name], stdout=subprocess.PIPE)
    try:
        daemon.ok("pause", name)
        assert "(Paused)" in daemon.ok("ps", "--filter", f"name={name}", "--format", "{{.Status}}")
        assert "is already paused" in daemon.docker("pause", name).err
        daemon.ok("unpause", name)
        daemon.ok("kill", "-s", "USR1", name)
        assert waiting.communicate(timeout=20)[0] == b"4\n"
        assert daemon.ok("wait", name) == "4"
        daemon.ok("start", name)
        daemon.ok("restart", "-t", "5", name)
        daemon.ok("stop", "-t", "5", name)
        daemon.ok("stop", name)
        assert daemon.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name) == "exited 4"
        daemon.ok("rename", name, f"{name}x")
        daemon.ok("rename", f"{name}x", name)
        assert "is not running" in daemon.docker("kill", name).err
        assert "invalid signal: NOSUCH" in daemon.docker("kill", "-s", "NOSUCH", name).err
        assert "Conflict. The container name" in daemon.docker("create", "--name", name, "busybox").err
    finally:
        daemon.ok("rm", "-f", name)
    assert "No such container" in daemon.docker("inspect", "--type", "container", name).err.replace(
        "object", "container"
    )


def test_logs_in_every_manner(daemon: Daemon, name: str) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; echo err $i >&2; done; read x; echo last"
    daemon.ok("run", "-di", "--name", name, "--network", "none", "busybox", "sh", "-c", script)
    try:
        follow = daemon.popen(["docker", "logs", "-f", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert follow.stdout is not None
        assert [follow.stdout.readline() for _ in range(5)][4] == b"line 5\n"
        result = daemon.docker("logs", "--tail", "4", name)
        assert result.out.count("\n") + result.err.count("\n") == 4
        stamped = daemon.ok("logs", "-t", name).split()[0]
        assert stamped.startswith("20")
        assert stamped.endswith("Z")
        assert daemon.docker("logs", "--since", "10m", name).out.count("line") == 5
        assert daemon.docker("logs", "--until", "10m", name).out == ""
        daemon.docker("attach", "--sig-proxy=false", name, stdin=b"go\n")
        out, err = follow.communicate(timeout=20)
        assert (out, err) == (b"last\n", b"err 1\nerr 2\nerr 3\nerr 4\nerr 5\n")
        assert follow.returncode == 0
    finally:
        daemon.ok("rm", "-f", name)


def test_following_ends_with_the_run(daemon: Daemon, name: str) -> None:
    """As with dockerd 28.5: a restart policy starts it again, `logs -f` has ended; `logs` has both runs."""
    script = "n=$(cat /n || echo 0) 2>/dev/null; echo 1 > /n; echo run $n; [ $n != 0 ] || read x; sleep ${n}000"
    daemon.ok("run", "-di", "--name", name, "--network", "none", "--restart", "always", "busybox", "sh", "-c", script)
    try:
        follow = daemon.popen(["docker", "logs", "-f", name], stdout=subprocess.PIPE)
        assert follow.stdout is not None and follow.stdout.readline() == b"run 0\n"
        daemon.docker("attach", "--sig-proxy=false", name, stdin=b"go\n")
        assert follow.communicate(timeout=60)[0] == b"" and follow.returncode == 0
        until(lambda: daemon.ok("logs", name) == "run 0\nrun 1")
        again = daemon.popen(["docker", "logs", "-f", "--tail", "1", name], stdout=subprocess.PIPE)
        assert again.stdout is not None and again.stdout.readline() == b"run 1\n"
        daemon.ok("rm", "-f", name)
        assert again.communicate(timeout=60)[0] == b""
    finally:
        daemon.docker("rm", "-f", name)


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_following_goes_over_rotations(daemon: Daemon, name: str, driver: str) -> None:
    options = ("--log-opt=max-size=4k", "--log-opt=max-file=3", "--log-opt=compress=true")
    argv = ["docker", "run", "-i", "--rm", "--name", name, "--network", "none", "--log-driver", driver, *options]
    running = daemon.popen([*argv, "busybox", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert running.stdin is not None
    try:
        until(lambda: daemon.docker("inspect", "-f", "{{.State.Running}}", name).out == "true\n")
        follow = daemon.popen(["docker", "logs", "-f", name], stdout=subprocess.PIPE)
        assert follow.stdout is not None
        for batch in range(40):
            lines = [b"line %d of a batch that is read at once\n" % (batch * 20 + number) for number in range(20)]
            running.stdin.write(b"".join(lines))
            running.stdin.flush()
            assert [follow.stdout.readline() for _ in lines] == lines
        running.stdin.close()
        assert follow.communicate(timeout=60)[0] == b""
    finally:
        running.wait(60)


def test_ps_filters_and_formats(daemon: Daemon, name: str) -> None:
    first, second = f"{name}-a", f"{name}-b"
    labelled = ["--label", name]
    daemon.ok("create", "--name", first, "--label", "kind=x", *labelled, "--expose", "99", "busybox", "true")
    volume = ["-v", f"{name}:/data"]
    daemon.ok("run", "-d", "--name", second, *labelled, *volume, "-P", "--expose", "90", "busybox", "sleep", "99")

    def names(*filters: str) -> list[str]:
        arguments = [word for text in (f"label={name}", *filters) for word in ("--filter", text)]
        return daemon.ok("ps", "-a", "--format", "{{.Names}}", *arguments).split()

    try:
        both = [second, first]
        assert names() == both
        assert names("label=kind=x") == [first]
        assert names("status=created") == [first]
        assert names("status=created", "status=running") == both
        assert names(f"name=^/{first}$") == [first]
        assert names(f"before={second}") == [first]
        assert names(f"since={first}") == [second]
        assert names(f"volume={name}") == names("volume=/data") == [second]
        assert names("network=bridge") == both
        assert names("ancestor=busybox") == both
        assert names("ancestor=nosuch") == []
        assert names("expose=90-95/tcp") == [second]
        assert names("health=none") == both
        assert names("is-task=true") == []
        assert names("exited=0") == []
        published = daemon.ok("port", second).rsplit(":", 1)[1]
        assert names(f"publish={published}") == [second]
        assert daemon.ok("ps", "-q", "--filter", f"label={name}") == daemon.ok("ps", "-lq")
        assert daemon.ok("ps", "-n", "2", "--format", "{{.Names}}", "--filter", f"label={name}").split() == both
        row = json.loads(daemon.ok("ps", "-a", "--size", "--format", "json", "--filter", f"name={first}"))
        assert (row["State"], row["Command"], row["Image"]) == ("created", '"true"', "busybox")
        assert "virtual" in row["Size"]
        assert "invalid filter 'nosuch'" in daemon.docker("ps", "--filter", "nosuch=1").err
        assert "invalid filter 'status=nosuch'" in daemon.docker("ps", "--filter", "status=nosuch").err
    finally:
        daemon.ok("rm", "-fv", first, second)
        daemon.ok("volume", "rm", name)


def test_inspect_and_its_formats(daemon: Daemon, name: str) -> None:
    options = ["-m", "64m", "-e", "A=b", "--restart", "on-failure:3", "-p", "80"]
    daemon.ok("create", "--name", name, *options, "busybox", "sh", "-c", "a b")
    try:
        found = json.loads(daemon.ok("inspect", "--size", name))[0]
        assert found["Name"] == f"/{name}"
        assert found["Args"] == ["-c", "a b"]
        assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
        assert found["HostConfig"]["Memory"] == 64 << 20
        assert found["State"]["Status"] == "created"
        assert found["SizeRootFs"] > 500_000
        assert "A=b" in found["Config"]["Env"]
        shape = "{{.HostConfig.Memory}} {{json .Config.Cmd}} {{range $p, $b := .HostConfig.PortBindings}}{{$p}}{{end}}"
        assert daemon.ok("inspect", "-f", shape, name) == '67108864 ["sh","-c","a b"] 80/tcp'
        assert daemon.docker("inspect", "nosuch").err.strip().endswith("No such object: nosuch")
    finally:
        daemon.ok("rm", name)


def test_events_are_told_as_they_happen_and_again(daemon: Daemon, name: str) -> None:
    began = time.time()
    past = ["events", "--filter", f"container={name}", "--since", f"{began:.9f}", "--format", "{{.Action}}"]
    live = daemon.popen(["docker", *past], stdout=subprocess.PIPE)  # since: nobody tells when it begins to listen
    assert live.stdout is not None
    try:
        daemon.ok("create", "--name", name, "busybox", "true")
        daemon.ok("start", "-a", name)
        daemon.ok("rm", name)
        told = daemon.ok(*past, "--until", f"{time.time():.9f}").split()
        assert told == ["create", "attach", "connect", "start", "die", "disconnect", "destroy"] or set(told) >= {
            "create", "attach", "start", "die", "destroy",
        }  # fmt: skip
        seen = []
        while not seen or seen[-1] != "destroy":
            seen.append(live.stdout.readline().decode().strip())
        assert seen == told
    finally:
        live.kill()
        live.wait()
        live.stdout.close()


def test_top_stats_diff_update_cp(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "-d", "--name", name, "busybox", "sh", "-c", "echo made > /made; exec sleep 999")
    try:
        assert "sleep 999" in daemon.ok("top", name)
        assert daemon.ok("top", name, "-o", "pid,comm").splitlines()[1].split()[1] == "sleep"
        row = json.loads(daemon.ok("stats", "--no-stream", "--format", "json", name))
        assert row["PIDs"] == "1"
        assert daemon.ok("diff", name).splitlines()[-1] == "A /made"
        daemon.ok("update", "--memory", "100m", "--memory-swap", "200m", "--restart", "always", name)
        shape = "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}"
        assert daemon.ok("inspect", "-f", shape, name) == "104857600 always"
        archive = daemon.run("docker", "cp", f"{name}:/made", "-")
        assert archive.status == 0
        assert "made\n" in archive.out
        missing = daemon.docker("cp", f"{name}:/nosuch", "-").err
        assert missing.endswith(f"Could not find the file /nosuch in container {name}\n")
    finally:
        daemon.ok("rm", "-f", name)
