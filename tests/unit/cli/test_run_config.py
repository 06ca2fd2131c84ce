"""What `run`'s flags become in the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.cli.command import CommandFailed
from sampan.cli.flags import FlagError, Parser
from sampan.cli.run_config import create_body, device, security_option
from sampan.cli.run_flags import CONTAINER_FLAGS, RUN_ONLY
from sampan.cli.run_mounts import parse_mount, parse_volumes
from sampan.cli.run_ports import parse_expose, parse_publish


def body(*words: str) -> dict[str, Any]:
    options, arguments = Parser((*CONTAINER_FLAGS, *RUN_ONLY), interspersed=False).parse([*words, "img", "cmd", "-x"])
    return create_body(options, arguments, options["detach"])


def test_plain() -> None:
    found = body()
    assert (found["Image"], found["Cmd"]) == ("img", ["cmd", "-x"])
    assert (found["AttachStdin"], found["AttachStdout"], found["AttachStderr"]) == (False, True, True)
    assert found["HostConfig"]["NetworkMode"] == "default"
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert found["NetworkingConfig"] == {"EndpointsConfig": {}}
    assert "Entrypoint" not in found


@pytest.mark.parametrize(
    ("words", "where", "value"),
    [
        (["-i"], "StdinOnce", True),
        (["-it"], "Tty", True),
        (["--entrypoint", ""], "Entrypoint", [""]),
        (["--entrypoint", "/e"], "Entrypoint", ["/e"]),
        (["-e", "A=1", "-e", "B="], "Env", ["A=1", "B="]),
        (["-l", "a=b", "-l", "c"], "Labels", {"a": "b", "c": ""}),
        (["--stop-timeout", "3"], "StopTimeout", 3),
        (["--no-healthcheck"], "Healthcheck", {"Test": ["NONE"]}),
        (
            ["--health-cmd", "x", "--health-interval", "2s"],
            "Healthcheck",
            {"Test": ["CMD-SHELL", "x"], "Interval": 2 * 10**9},
        ),
        (["-v", "/anon"], "Volumes", {"/anon": {}}),
        (["-v", "/a:/b:ro"], "HostConfig.Binds", ["/a:/b:ro"]),
        (["-m", "64m"], "HostConfig.Memory", 64 << 20),
        (["--cpus", "1.5"], "HostConfig.NanoCpus", 1_500_000_000),
        (["--restart", "on-failure:3"], "HostConfig.RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        (["--network", "host"], "HostConfig.NetworkMode", "host"),
        (
            ["--net", "n1", "--ip", "1.2.3.4"],
            "NetworkingConfig.EndpointsConfig.n1.IPAMConfig",
            {"IPv4Address": "1.2.3.4"},
        ),
        (["--network", "name=n,alias=a,alias=b"], "NetworkingConfig.EndpointsConfig.n.Aliases", ["a", "b"]),
        (["--tmpfs", "/t:size=1m"], "HostConfig.Tmpfs", {"/t": "size=1m"}),
        (["--ulimit", "nofile=1:2"], "HostConfig.Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 2}]),
        (
            ["--log-opt", "max-size=1m", "--log-driver", "x"],
            "HostConfig.LogConfig",
            {"Type": "x", "Config": {"max-size": "1m"}},
        ),
        (["--gpus", "all"], "HostConfig.DeviceRequests.0.Count", -1),
        (
            ["--device-read-bps", "/dev/sda:1mb"],
            "HostConfig.BlkioDeviceReadBps",
            [{"Path": "/dev/sda", "Rate": 1 << 20}],
        ),
        (["--init"], "HostConfig.Init", True),
        (["--rm"], "HostConfig.AutoRemove", True),
        (["--sysctl", "net.b=1"], "HostConfig.Sysctls", {"net.b": "1"}),
        (["-p", "80", "--expose", "90-91"], "ExposedPorts", {"80/tcp": {}, "90/tcp": {}, "91/tcp": {}}),
    ],
)
def test_flags(words: list[str], where: str, value: object) -> None:
    found: Any = body(*words)
    for part in where.split("."):
        found = found[int(part)] if part.isdigit() else found[part]
    assert found == value


@pytest.mark.parametrize(
    "words",
    [
        ["--rm", "--restart", "always"],
        ["-a", "bogus"],
        ["--no-healthcheck", "--health-cmd", "x"],
        ["--restart", ":3"],
        ["--ulimit", "nofile=9:2"],
        ["--network", "host", "--network", "n"],
        ["--network", "host", "--network-alias", "n"],
        ["--security-opt", "bogus"],
        ["--env-file", "/nonexistent"],
    ],
)
def test_contradictions(words: list[str]) -> None:
    with pytest.raises((CommandFailed, FlagError)):
        body(*words)


def test_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPAN_TEST_INHERITED", "yes")
    monkeypatch.delenv("SAMPAN_TEST_ABSENT", raising=False)
    file = tmp_path / "env"
    file.write_text("# note\n\n  A=1\nB=two words\nSAMPAN_TEST_INHERITED\nSAMPAN_TEST_ABSENT\n")
    assert body("--env-file", str(file), "-e", "A=2")["Env"] == [
        "A=1",
        "B=two words",
        "SAMPAN_TEST_INHERITED=yes",
        "A=2",
    ]
    file.write_text("bad name=1\n")
    with pytest.raises(CommandFailed, match="contains whitespaces"):
        body("--env-file", str(file))


def binding(ip: str, port: str) -> dict[str, str]:
    return {"HostIp": ip, "HostPort": port}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("80", {"80/tcp": [binding("", "")]}),
        ("8080:80", {"80/tcp": [binding("", "8080")]}),
        ("127.0.0.1::80/udp", {"80/udp": [binding("127.0.0.1", "")]}),
        ("127.0.0.1:8080:80", {"80/tcp": [binding("127.0.0.1", "8080")]}),
        ("[::1]:8080:80", {"80/tcp": [binding("::1", "8080")]}),
        ("8000-8001:80-81", {"80/tcp": [binding("", "8000")], "81/tcp": [binding("", "8001")]}),
        ("8000-8010:80", {"80/tcp": [binding("", "8000-8010")]}),
        ("80-81", {"80/tcp": [binding("", "")], "81/tcp": [binding("", "")]}),
        ("target=80,published=8080,protocol=udp", {"80/udp": [binding("", "8080")]}),
    ],
)
def test_published_ports(spec: str, expected: dict[str, list[dict[str, str]]]) -> None:
    exposed, bindings = parse_publish([spec])
    assert bindings == expected
    assert exposed == {port: {} for port in expected}


@pytest.mark.parametrize("spec", ["", "x", "80/foo", "8000-8002:80-81", "1:2:3:4:", "99999", "81-80", "a:80"])
def test_ports_that_are_none(spec: str) -> None:
    with pytest.raises(CommandFailed):
        parse_publish([spec])


def test_expose_takes_no_host() -> None:
    with pytest.raises(CommandFailed, match="invalid port format for --expose: 1:2"):
        parse_expose(["1:2"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,src=/a,dst=/b,ro", {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}),
        ("source=v,target=/b", {"Type": "volume", "Source": "v", "Target": "/b"}),
        (
            "type=volume,dst=/b,volume-opt=type=nfs,volume-opt=o=addr,volume-nocopy,volume-label=a=b,volume-driver=d",
            {
                "Type": "volume",
                "Target": "/b",
                "VolumeOptions": {
                    "DriverConfig": {"Options": {"type": "nfs", "o": "addr"}, "Name": "d"},
                    "NoCopy": True,
                    "Labels": {"a": "b"},
                },
            },
        ),
        (
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770}},
        ),
        (
            'type=bind,"src=/a,b",dst=/c,bind-propagation=rshared',
            {"Type": "bind", "Source": "/a,b", "Target": "/c", "BindOptions": {"Propagation": "rshared"}},
        ),
        (
            "type=bind,src=/a,dst=/b,readonly=0,bind-recursive=disabled",
            {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": False, "BindOptions": {"NonRecursive": True}},
        ),
    ],
)
def test_mounts(text: str, expected: dict[str, Any]) -> None:
    assert parse_mount(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "type=bind",
        "dst=/a,bogus=1",
        "dst=/a,src",
        "type=bind,dst=/a,volume-nocopy",
        "dst=/a,readonly=x",
        "dst=/a,tmpfs-size=x",
    ],
)
def test_mounts_that_are_none(text: str) -> None:
    with pytest.raises(FlagError, match='for "--mount" flag'):
        body("--mount", text)


def test_relative_binds_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_volumes(["./x:/y", "name:/z", "/q"]) == ([f"{tmp_path}/x:/y", "name:/z"], {"/q": {}})


def test_devices_and_profiles(tmp_path: Path) -> None:
    assert device("/dev/a") == {"PathOnHost": "/dev/a", "PathInContainer": "/dev/a", "CgroupPermissions": "rwm"}
    assert device("/dev/a:r")["CgroupPermissions"] == "r"
    assert device("/dev/a:/dev/b:rw")["PathInContainer"] == "/dev/b"
    profile = tmp_path / "p.json"
    profile.write_text('{"a": 1}')
    assert security_option(f"seccomp={profile}") == 'seccomp={"a":1}'
    assert security_option("seccomp=unconfined") == "seccomp=unconfined"
    with pytest.raises(CommandFailed, match="opening seccomp profile"):
        security_option("seccomp=/nonexistent")
