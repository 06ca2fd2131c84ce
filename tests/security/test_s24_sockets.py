"""S24: who may reach the daemon. The unix socket is root's and its group's; TCP asks for a client certificate."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from sampan.daemon import listeners
from sampan.errors import Conflict, InvalidArgument

from ..support.certificates import make_certificates
from ..support.daemon import BIN, Daemon


def test_s24_the_socket_is_closed_to_others(daemon: Daemon) -> None:
    found = os.stat(daemon.socket)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_uid == 0
    sockets = [path for path in daemon.exec_root.rglob("*") if path.is_socket()]
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in sockets)


def test_s24_the_socket_is_closed_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    monkeypatch.setattr(listeners.os, "chown", lambda path, *_: modes.append(stat.S_IMODE(os.stat(path).st_mode)))
    listeners.unix_socket(f"{tmp_path}/sock", "").close()
    assert modes == [0o600], "before it is given to the group"


def test_s24_the_group_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    made = listeners.unix_socket(path, "12345")
    assert os.stat(path).st_gid == 12345
    with pytest.raises(Conflict, match="another process listens there"):
        made.listen()
        listeners.unix_socket(path, "")
    made.close()
    listeners.unix_socket(path, "").close()  # what a daemon that was killed leaves is no obstacle
    with pytest.raises(InvalidArgument, match="group nosuchgroup not found"):
        listeners.unix_socket(path, "nosuchgroup")
    os.unlink(path)
    Path(path).write_text("kept")
    with pytest.raises(Conflict, match="no socket is in the way"):
        listeners.unix_socket(path, "")
    assert Path(path).read_text() == "kept"


def test_s24_tcp_without_verification_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    argv = [str(BIN / "sampand"), "--data-root", f"{tmp_path}/d", "--exec-root", f"{tmp_path}/r"]
    argv += ["--pidfile", f"{tmp_path}/p", "--config-file", str(daemon.config), "-H", "tcp://127.0.0.1:0"]
    for given in ([], ["--tls"]):
        done = subprocess.run([*argv, *given], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert "without verifying clients" in done.stderr


def test_s24_tcp_with_verification(make_daemon: object, tmp_path: Path) -> None:
    assert callable(make_daemon)
    make_certificates(tmp_path)
    tls = ["--tlsverify", f"--tlscacert={tmp_path}/ca.pem", f"--tlscert={tmp_path}/server.pem"]
    daemon = make_daemon("-H", "tcp://10.99.0.1:2376", *tls, f"--tlskey={tmp_path}/server.key", busybox=True)

    def docker(name: str, *command: str) -> subprocess.CompletedProcess[str]:
        options = ["--tlsverify", f"--tlscacert={tmp_path}/ca.pem"]
        options += [f"--tlscert={tmp_path}/{name}.pem", f"--tlskey={tmp_path}/{name}.key"] if name else []
        argv = daemon.outside.command("docker", "-H", "tcp://10.99.0.1:2376", *options, *command)
        environment = {**daemon.environment(), "DOCKER_HOST": ""}
        return subprocess.run(
            argv, capture_output=True, text=True, env=environment, input="in\n", timeout=60, check=False
        )

    good = docker("client", "run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; echo out")
    assert (good.returncode, good.stdout) == (0, "in\nout\n")
    assert docker("stranger", "version").returncode != 0
    assert docker("", "version").returncode != 0
    plain = daemon.outside.run("curl", "-s", "-m", "5", "http://10.99.0.1:2376/_ping")
    assert plain.out != "OK"


def test_s24_abstract_sockets_are_not_served(daemon: Daemon) -> None:
    """A container in the host's network namespace would reach them (CVE-2020-15257)."""
    listening = Path("/proc/net/unix").read_text()
    assert f"@{daemon.exec_root}" not in listening
    for line in listening.splitlines()[1:]:
        assert not (line.split()[-1].startswith("@") and "sampan" in line)
