"""What our client offers beyond Docker's, against our daemon."""

from __future__ import annotations

import json

from ..support.daemon import Daemon


def test_network_map_and_check(daemon: Daemon, name: str) -> None:
    daemon.ok("network", "create", name)
    server = ["run", "-d", "--name", f"{name}-a", "--network", name, "busybox", "httpd", "-f", "-p", "80"]
    assert daemon.sampan(*server).status == 0
    assert daemon.sampan("run", "-d", "--name", f"{name}-b", "--network", name, "busybox", "sleep", "300").status == 0
    assert daemon.sampan("run", "-d", "--name", f"{name}-c", "busybox", "sleep", "300").status == 0
    shown = daemon.sampan("network", "map").out
    assert f"{name} (bridge, " in shown
    assert f"─ {name}-a  " in shown
    found = {
        network["Name"]: network for network in json.loads(daemon.sampan("network", "map", "--format", "json").out)
    }
    assert {member["Name"] for member in found[name]["Members"]} == {f"{name}-a", f"{name}-b"}
    good = daemon.sampan("network", "check", f"{name}-b", f"{name}-a:80")
    assert (good.status, "not reachable" in good.out) == (0, False), good
    bad = daemon.sampan("network", "check", f"{name}-c", f"{name}-a", "80")
    assert (bad.status, "not reachable: " in bad.out) == (1, True), bad
    daemon.ok("rm", "-f", f"{name}-a", f"{name}-b", f"{name}-c")
    daemon.ok("network", "rm", name)


def test_ports_change_while_the_container_runs(daemon: Daemon, name: str) -> None:
    assert daemon.sampan("run", "-d", "--name", name, "busybox", "httpd", "-f", "-p", "80").status == 0
    assert daemon.sampan("update", "--publish-add", "18080:80", name).out == f"{name}\n"
    assert daemon.sampan("port", name, "80").out.splitlines()[0] == "0.0.0.0:18080"
    assert daemon.sampan("update", "--publish-rm", "18080", name).status == 0
    assert daemon.sampan("port", name, "80").status == 1
    daemon.ok("rm", "-f", name)


def test_a_port_that_was_left_to_chance_is_removed_by_its_number(daemon: Daemon, name: str) -> None:
    run = ["run", "-d", "--name", name, "-p", "80", "-p", "18081:81", "busybox", "httpd", "-f", "-p", "80"]
    assert daemon.sampan(*run).status == 0
    given = daemon.sampan("port", name, "80").out.splitlines()[0].rpartition(":")[2]
    assert daemon.sampan("update", "--publish-rm", given, name).status == 0
    assert daemon.sampan("port", name).out.splitlines()[0] == "81/tcp -> 0.0.0.0:18081"
    daemon.ok("restart", "-t", "0", name)
    assert daemon.sampan("port", name, "80").status == 1
    daemon.ok("rm", "-f", name)


def test_environment_labels_and_mounts_change(daemon: Daemon, name: str) -> None:
    assert daemon.sampan("run", "-d", "--name", name, "-e", "A=1", "-l", "k=v", "busybox", "sleep", "300").status == 0
    changed = daemon.sampan("update", "-e", "A=2", "-e", "B=3", "-l", "k", "--mount-add", "type=tmpfs,dst=/t", name)
    assert changed.status == 0, changed
    assert daemon.sampan("exec", name, "sh", "-c", "echo $A$B; ls -d /t").out == "23\n/t\n"
    assert daemon.sampan("inspect", "-f", "{{.Config.Labels}}", name).out == "map[]\n"
    daemon.ok("rm", "-f", name)


def test_secrets_without_a_swarm(daemon: Daemon, name: str) -> None:
    made = daemon.sampan("secret", "create", "-l", "a=b", name, "-", stdin=b"hidden")
    assert made.status == 0, made
    assert (
        daemon.sampan("secret", "ls", "--format", "{{.Name}} {{.Labels}}", "--filter", f"name={name}").out
        == f"{name} a=b\n"
    )
    assert daemon.sampan("secret", "inspect", "-f", "{{.Spec.Name}}", made.out.strip()).out == f"{name}\n"
    read = daemon.sampan("run", "--rm", "--secret", f"{name}:word:0400", "busybox", "sh", "-c", "cat /run/secrets/word")
    assert read.out == "hidden", read
    assert "hidden" not in daemon.sampan("secret", "inspect", name).out
    assert daemon.sampan("secret", "rm", name).out == f"{name}\n"
    assert daemon.sampan("secret", "rm", name).status == 1


def test_volumes_are_copied_and_kept(daemon: Daemon, name: str) -> None:
    def run(*words: str, stdin: bytes | None = None) -> str:
        done = daemon.sampan(*words, stdin=stdin)
        assert done.status == 0, done
        return done.out

    def inside(volume: str, script: str) -> str:
        return run("run", "--rm", "-v", f"{volume}:/d", "busybox", "sh", "-c", script)

    first, second, third = f"{name}-a", f"{name}-b", f"{name}-c"
    assert run("volume", "create", "--label", "k=v", first) == f"{first}\n"
    inside(first, "echo one >/d/file; chown 7:8 /d/file")
    assert run("volume", "snapshot", first, "before") == "before\n"
    assert run("volume", "snapshot", first) == "before\n"
    inside(first, "echo two >/d/file")
    assert run("volume", "copy", first, second) == f"{second}\n"
    assert daemon.sampan("volume", "copy", first, second).status == 1
    assert run("volume", "restore", first, "before") == f"{first}\n"
    assert inside(first, "cat /d/file; stat -c %u:%g /d/file") == "one\n7:8\n"
    assert inside(second, "cat /d/file") == "two\n"
    assert run("volume", "inspect", "-f", "{{.Labels.k}}", second) == "v\n"
    assert run("volume", "snapshot", "--rm", first, "before") == "before\n"
    assert "no such snapshot" in daemon.sampan("volume", "restore", first, "before").err
    archive = daemon.directory / f"{name}.tar"
    run("volume", "export", "-o", str(archive), first)
    assert run("volume", "import", third, str(archive)) == f"{third}\n"
    assert inside(third, "cat /d/file; stat -c %u:%g /d/file") == "one\n7:8\n"
    assert run("volume", "rename", third, f"{third}2") == f"{third}2\n"
    user = run("create", "-v", f"{first}:/d", "busybox").strip()
    refused = daemon.sampan("volume", "rename", first, f"{first}2")
    assert (refused.status, "in use" in refused.err) == (1, True), refused
    daemon.ok("rm", user)
    daemon.ok("volume", "rm", first, second, f"{third}2")


def test_the_stock_client_learns_that_there_is_no_swarm(daemon: Daemon) -> None:
    begun = daemon.docker("swarm", "init")
    assert (begun.status, begun.err) == (
        1,
        "Error response from daemon: swarm mode is not offered by Sampan, which is an engine for one machine\n",
    )
    assert "This node is not a swarm manager" in daemon.docker("node", "ls").err
