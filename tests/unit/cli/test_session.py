"""Where a command goes: hosts, contexts, credentials, completion, against recorded answers."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.cli import autostart, credentials
from sampan.cli.command import CommandFailed
from sampan.cli.configfile import ConfigFile
from sampan.cli.main import main
from sampan.cli.terminal import Detached, DetachWatcher, parse_detach_keys

from ...support.replay import Answer, Replay

CONTAINERS = [{"Id": "a" * 64, "Names": ["/web", "/other/alias"], "Image": "img", "Command": "run", "Created": 0}]
ANSWERS = (
    Answer("GET /containers/json", CONTAINERS),
    Answer("GET /images/json", [{"Id": "i", "RepoTags": ["busybox:latest", "alpine:3"]}]),
    Answer("POST /auth", {"Status": "Login Succeeded", "IdentityToken": ""}),
    Answer(
        "POST /images/create",
        chunks=[b'{"status":"Pulling","id":"l"}\n{"errorDetail":{"message":"denied"},"error":"denied"}'],
    ),
    Answer("GET /info", {"message": "sorry"}, 500),
    Answer("DELETE /containers/gone", {"message": "No such container: gone"}, 404),
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv(autostart.DISABLE, "1")
    return tmp_path / "config"


@pytest.fixture
def replay(tmp_path: Path, config: Path) -> Iterator[Replay]:
    with Replay(tmp_path, *ANSWERS) as server:
        yield server


def test_host_comes_from_flag_environment_or_context(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-H", replay.url, "ps", "--format", "{{.Names}}"]) == 0
    monkeypatch.setenv("DOCKER_HOST", replay.url)
    assert main(["ps", "-q"]) == 0
    monkeypatch.delenv("DOCKER_HOST")
    assert main(["context", "create", "there", "--description", "d", "--docker", f"host={replay.url}"]) == 0
    assert main(["--context", "there", "ps", "--format", "{{.ID}}"]) == 0
    assert main(["context", "use", "there"]) == 0
    assert main(["ps", "--no-trunc", "-q"]) == 0
    assert main(["context", "show"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["web", "a" * 12, "there", "a" * 12, "there", "a" * 64, "there"]
    assert main(["context", "rm", "there"]) == 1
    assert "is in use, set -f flag to force remove" in capsys.readouterr().err
    assert main(["context", "use", "default"]) == 0
    assert main(["context", "rm", "there"]) == 0


def test_context_keeps_tls_files(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ca").write_text("CA")
    docker = f"host=tcp://h:2376,ca={tmp_path}/ca,skip-tls-verify=true"
    assert main(["context", "create", "tls", "--docker", docker]) == 0
    assert main(["context", "create", "copy", "--from", "tls"]) == 0
    capsys.readouterr()
    assert main(["context", "inspect", "copy"]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert found["Endpoints"]["docker"] == {"Host": "tcp://h:2376", "SkipTLSVerify": True}
    assert found["TLSMaterial"] == {"docker": ["ca.pem"]}
    key = Path(found["Storage"]["TLSPath"]) / "docker/ca.pem"
    assert key.read_text() == "CA"
    assert key.stat().st_mode & 0o077 == 0


def test_failures_have_docker_s_words_and_codes(replay: Replay, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-H", replay.url, "info"]) == 1
    assert capsys.readouterr().err == "Error response from daemon: sorry\nerrors pretty printing info\n"
    assert main(["-H", "unix:///nonexistent.sock", "ps"]) == 1
    assert "Cannot connect to the Sampan daemon at unix:///nonexistent.sock" in capsys.readouterr().err
    assert main(["-H", "unix:///nonexistent.sock", "run", "x"]) == 125
    assert capsys.readouterr().err.startswith("sampan: Cannot connect")
    assert main(["-H", replay.url, "pull", "x"]) == 1
    assert capsys.readouterr() == ("Using default tag: latest\nl: Pulling\n", "denied\n")
    assert main(["-H", replay.url, "rm", "-f", "gone"]) == 0
    assert main(["-H", replay.url, "rm", "gone"]) == 1


def test_login_is_stored_as_docker_stores_it(replay: Replay, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-H", replay.url, "login", "-u", "me", "-p", "secret", "reg.example:5000"]) == 0
    stored = json.loads((config / "config.json").read_text())
    assert base64.b64decode(stored["auths"]["reg.example:5000"]["auth"]) == b"me:secret"
    assert (config / "config.json").stat().st_mode & 0o077 == 0
    assert json.loads(replay.bodies[-1])["serveraddress"] == "reg.example:5000"
    main(["-H", replay.url, "pull", "reg.example:5000/x/y:1"])
    assert "POST /v1.51/images/create?fromImage=reg.example%3A5000%2Fx%2Fy&tag=1" in replay.requests
    assert main(["-H", replay.url, "logout", "reg.example:5000"]) == 0
    assert json.loads((config / "config.json").read_text())["auths"] == {}
    assert "Removing login credentials for reg.example:5000" in capsys.readouterr().out


HELPER = """#!/bin/sh
cat > "$HELPER_DIR/$1.in"
case $1 in
get) echo '{"ServerURL":"x","Username":"u","Secret":"s"}' ;;
list) echo '{"reg.example":"u"}' ;;
esac
"""


def test_credential_helpers(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-fake"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HELPER_DIR", str(tmp_path))
    config.mkdir()
    (config / "config.json").write_text('{"credHelpers": {"reg.example": "fake"}, "extra": 1}')
    file = ConfigFile(str(config))
    found = {"username": "u", "password": "s", "serveraddress": "reg.example"}
    assert credentials.load(file, "reg.example") == found
    assert (tmp_path / "get.in").read_text() == "reg.example"
    assert credentials.all_auths(file) == {"reg.example": found}
    credentials.store(file, "reg.example", {"username": "a", "password": "b"})
    assert json.loads((tmp_path / "store.in").read_text()) == {
        "ServerURL": "reg.example",
        "Username": "a",
        "Secret": "b",
    }
    saved = json.loads((config / "config.json").read_text())
    assert saved["extra"] == 1
    assert saved["auths"] == {"reg.example": {}}


def test_completion_knows_commands_flags_and_names(replay: Replay, capsys: pytest.CaptureFixture[str]) -> None:
    def complete(*words: str) -> list[str]:
        assert main(["-H", replay.url, "__complete", *words]) == 0
        return capsys.readouterr().out.splitlines()

    assert complete("--", "im") == ["image", "images", "import"]
    assert complete("network", "--", "co") == ["connect"]
    assert "--cidfile" in complete("run", "--", "--ci")
    assert complete("stop", "--", "w") == ["web"]
    assert complete("run", "--", "b") == ["busybox:latest"]
    assert complete("image", "rm", "--", "al") == ["alpine:3"]
    assert complete("nonsense", "--", "") == []
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "__complete" in capsys.readouterr().out


def test_a_daemon_is_never_started_where_a_host_was_named(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = []
    monkeypatch.delenv(autostart.DISABLE)
    monkeypatch.setattr(autostart, "ensure_daemon", started.append)
    main(["-H", "unix:///nonexistent.sock", "ps"])
    monkeypatch.setenv("DOCKER_HOST", replay.url)
    main(["ps"])
    assert started == []


def test_detach_keys() -> None:
    assert parse_detach_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_detach_keys("ctrl-@,a,ctrl-[") == b"\0a\x1b"
    watcher = DetachWatcher(b"\x10\x11")
    assert watcher.feed(b"ab\x10") == b"ab"
    assert watcher.feed(b"c") == b"\x10c"
    assert watcher.feed(b"\x10\x10") == b"\x10"
    with pytest.raises(Detached):
        watcher.feed(b"\x11")


def test_credentials_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ConfigFile(str(tmp_path))
    file.values["auths"] = {"reg.example": {"auth": "a"}}
    with pytest.raises(CommandFailed, match=r"invalid auth configuration of reg\.example"):
        credentials.load(file, "reg.example")
    (tmp_path / "docker-credential-odd").write_text("#!/bin/sh\necho surprise\n")
    (tmp_path / "docker-credential-odd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    file.values["credHelpers"] = {"reg.example": "odd"}
    with pytest.raises(CommandFailed, match="out: `surprise`"):
        credentials.load(file, "reg.example")
