"""Flags and daemon.json: merged, checked, and every mistake named in Docker's words."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

import sampan
from sampan.daemon import checks, config, flags, listeners, pidfile, reload, start, tls
from sampan.daemon.config import DaemonConfig
from sampan.daemon.settings import Settings
from sampan.engine.config import AddressPool, Runtime
from sampan.errors import Conflict, InvalidArgument, SampanError
from sampan.model.quantity import parse_size


def load(tmp_path: Path, *arguments: str, file: Any = None) -> DaemonConfig:
    path = tmp_path / "daemon.json"
    path.write_text(file if isinstance(file, str) else json.dumps(file or {}))
    return config.load(flags.parse(["--config-file", str(path), *arguments]))


def test_flags_in_every_form(tmp_path: Path) -> None:
    made = load(
        tmp_path, "-D", "-H", "unix:///a", "--host=unix:///b", "--label", "a=b", "--log-opt", "max-size=1m",
        "--log-opt=max-file=2", "--icc=false", "--default-shm-size", "128M", "--add-runtime", "crun=/usr/bin/crun",
        "--default-address-pool", "base=10.1.0.0/16,size=24", "--default-ulimit", "nofile=10:20", "--mtu=0x5dc",
        "--feature", "x=false", "--default-network-opt", "bridge=k=v", "-lwarn", "--no-proxy", "x,y",
    )  # fmt: skip
    engine = made.engine
    assert made.hosts == ("unix:///a", "unix:///b")
    assert engine.debug
    assert engine.labels == ("a=b",)
    assert engine.container.log_opts == {"max-size": "1m", "max-file": "2"}
    assert not engine.network.icc
    assert engine.container.shm_size == 128 << 20
    assert engine.runtimes == {"crun": Runtime("/usr/bin/crun")}
    assert engine.network.address_pools == (AddressPool("10.1.0.0/16", 24),)
    assert [(limit.name, limit.soft, limit.hard) for limit in engine.container.ulimits] == [("nofile", 10, 20)]
    assert engine.network.mtu == 1500
    assert engine.features == {"x": False}
    assert engine.network.default_network_opts == {"bridge": {"k": "v"}}
    assert made.settings.log_level == "warn"
    assert engine.container.proxies == {"no-proxy": "x,y"}


def test_a_file_says_the_same(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        file={
            "hosts": ["unix:///a"], "runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--debug"]}},
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}, "default-shm-size": "64M",
            "exec-opts": ["native.cgroupdriver=systemd"], "proxies": {"http-proxy": "http://p"}, "init": True,
            "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "builder": {"gc": {"enabled": True}},
        },
    )  # fmt: skip
    assert made.engine.runtimes == {"crun": Runtime("/usr/bin/crun", ("--debug",))}
    assert made.engine.cgroup_driver == "systemd"
    assert made.engine.container.init
    assert made.engine.container.proxies == {"http-proxy": "http://p"}


def test_runtimes_of_both_places_are_joined(tmp_path: Path) -> None:
    made = load(tmp_path, "--add-runtime", "a=/a", file={"runtimes": {"b": {"path": "/b"}}})
    assert set(made.engine.runtimes) == {"a", "b"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ({"foo": 1}, "the following directives don't match any configuration option: foo"),
        ({"foo": 1, "bar": {"x": 1}}, "the following directives don't match any configuration option: foo, x"),
        ({"debug": "x"}, "invalid JSON: json: cannot unmarshal string into Go struct field Config.debug of type bool"),
        ({"bip": 5}, "invalid JSON: json: cannot unmarshal number into Go struct field Config.bip of type string"),
        ("{bad", "invalid JSON: "),
        ("[]", "invalid JSON: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({"log-level": "zz"}, "validation from file and command line flags failed: invalid logging level: zz"),
        ({"labels": ["a"]}, "bad attribute format: a"),
        ({"registry-mirrors": ["ftp://x"]}, "invalid mirror: unsupported scheme \"ftp\" in \"ftp://x\""),
        ({"max-concurrent-downloads": -1}, "invalid max concurrent downloads: -1"),
        ({"dns": ["foo"]}, "invalid IP address: foo"),
        ({"default-runtime": "nosuch"}, "specified default runtime 'nosuch' does not exist"),
        ({"default-ipc-mode": "q"}, "default IPC mode setting (q) is invalid"),
        ({"exec-opts": ["x=y"]}, "invalid exec-opt (x=y): unknown option: 'x'"),
        ({"exec-opts": ["native.cgroupdriver=x"]}, "unknown cgroup driver: 'x'"),
        ({"exec-opts": ["native.cgroupdriver=systemd"], "cgroup-parent": "/x"},
         'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'),
        ({"hosts": ["tcp://0.0.0.0:2375"]}, "refusing to listen on tcp://0.0.0.0:2375 without verifying clients"),
        ({"hosts": ["unix://@abstract"]}, "an abstract socket is reachable"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file_are_named(tmp_path: Path, file: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(tmp_path, file=file)
    assert str(caught.value).startswith(f"unable to configure the Docker daemon with file {tmp_path}/daemon.json: ")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "file", "text"),
    [
        ("--http-proxy=http://p", {"proxies": "none"}, "proxies"),
        ("--add-runtime=a=/b", {"runtimes": ["/c"]}, "runtimes"),
    ],
)
def test_a_flag_beside_a_wrong_type_in_the_file(tmp_path: Path, flag: str, file: Any, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        load(tmp_path, flag, file=file)


def test_a_flag_and_the_file_do_not_contradict(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(tmp_path, "--label", "a=b", "--debug", file={"labels": ["a=c"], "debug": True})
    assert str(caught.value).endswith(
        "the following directives are specified both as a flag and in the configuration file: "
        "debug: (from flag: true, from file: true), labels: (from flag: [a=b], from file: [a=c])"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
        (["--mtu"], "flag needs an argument: --mtu"),
        (["--mtu", "x"], 'invalid argument "x" for "--mtu" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["--debug=zz"], '"zz" for "-D, --debug" flag: strconv.ParseBool: parsing "zz": invalid syntax'),
        (["-H", "foo://x"], 'invalid argument "foo://x" for "-H, --host" flag: invalid bind address (foo://x)'),
        (["--ip", "z"], 'invalid argument "z" for "--ip" flag: failed to parse IP: "z"'),
        (["--add-runtime", "foo"], "invalid runtime argument: foo"),
        (["--default-ulimit", "x"], 'invalid argument "x" for "--default-ulimit" flag: invalid ulimit argument: x'),
        (["--default-address-pool", "base=1.1.1.1"], 'invalid base prefix "1.1.1.1"'),
        (["--registry-mirror", "foo"], 'invalid mirror: no scheme specified for "foo"'),
        (["--default-ulimit", "nofile=²"], "invalid ulimit argument: nofile=²"),
        (["--registry-mirror", "http://"], 'unsupported scheme "http" in "http://"'),
        (["extra"], "accepts no arguments"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line_are_named(arguments: list[str], text: str) -> None:
    with pytest.raises(flags.UsageError) as caught:
        flags.parse(arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize("consent", ["--tlsverify=false", "--tls=false"])
def test_tcp_without_verification_must_be_asked_for(tmp_path: Path, consent: str) -> None:
    """Rule S24."""
    for given in ((), ("--tls",)):
        with pytest.raises(InvalidArgument, match="refusing to listen"):
            load(tmp_path, "-H", "tcp://127.0.0.1:2375", *given)
    assert load(tmp_path, "-H", "tcp://127.0.0.1:2375", consent).hosts == ("tcp://127.0.0.1:2375",)
    assert load(tmp_path, "-H", "tcp://127.0.0.1:2376", "--tlsverify").tls is not None


def test_validate_and_exit_statuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"debug": true}')
    assert start.start(["--validate", "--config-file", str(path)], None) == 0
    assert capsys.readouterr().out == "configuration OK\n"
    path.write_text('{"nosuch": true}')
    assert start.start(["--validate", "--config-file", str(path)], None) == 1
    assert "nosuch" in capsys.readouterr().err
    assert start.start(["--nosuch"], None) == 125
    assert start.start(["--help"], None) == 0
    assert all(f"--{flag.name}" in capsys.readouterr().out for flag in flags.FLAGS[:1])


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"open .*/none: no such file or directory"):
        config.load(flags.parse(["--config-file", f"{tmp_path}/none"]))


def test_reload_takes_over_only_what_may_change(tmp_path: Path) -> None:
    old = load(tmp_path, file={"labels": ["a=b"], "mtu": 1400}).engine
    new = load(tmp_path, file={"labels": ["c=d"], "mtu": 1300, "registry-mirrors": ["https://m"], "debug": True}).engine
    merged = reload.merged(old, new)
    assert (merged.labels, merged.registry.mirrors, merged.debug, merged.network.mtu) == (
        ("c=d",), ("https://m",), True, 1400,
    )  # fmt: skip


def test_one_daemon_per_pid_file(tmp_path: Path) -> None:
    path = f"{tmp_path}/pid"
    with pidfile.held(path):
        with pytest.raises(Conflict, match="is still running"), pidfile.held(path):
            pass
        assert Path(path).read_text().strip().isdigit()
    assert not Path(path).exists()
    Path(path).write_text("1\n")  # a number that another process has by now
    with pidfile.held(path):
        Path(path).unlink()  # as Conflict's own text says


@pytest.mark.parametrize(("text", "octets"), [("5", 5), ("64m", 64 << 20), ("1.5GB", 3 << 29), ("2KiB", 2048)])
def test_sizes(text: str, octets: int) -> None:
    assert parse_size(text) == octets


def test_no_size() -> None:
    with pytest.raises(InvalidArgument, match="invalid size: 'x'"):
        parse_size("x")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ({"min-api-version": "1.10"}, "invalid min-api-version: minimum supported API version is 1.24: 1.10"),
        ({"min-api-version": "1.99"}, "invalid min-api-version: maximum supported API version is 1.51: 1.99"),
        ({"min-api-version": "v1.30"}, 'API version must be provided without "v" prefix'),
        ({"min-api-version": "new"}, "API version is not MAJOR.MINOR: new"),
        ({"authorization-plugins": ["opa"]}, r"authorization-plugins are not supported \(opa\)"),
        ({"rootless": True}, "rootless mode is not supported"),
    ],
)
def test_what_is_not_done_is_not_accepted(tmp_path: Path, file: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        load(tmp_path, file=file)


ALWAYS_SO = {
    "live-restore": "containers always outlive the daemon",
    "raw-logs": "the log has no colours and full times",
    "ip-forward-no-drop": "the policy of the FORWARD chain is never changed",
}


def test_every_setting_does_something_or_is_told() -> None:
    sources = [path.read_text() for path in Path(sampan.__file__).parent.rglob("*.py")]
    unused = {
        field.encode_name
        for field in msgspec.structs.fields(Settings)
        if not any(re.search(rf"settings\.{field.name}\b", text) for text in sources)
    }
    assert unused <= {*checks.IGNORED, *ALWAYS_SO}, unused - {*checks.IGNORED, *ALWAYS_SO}


def test_what_has_no_effect_is_told(tmp_path: Path) -> None:
    given = {"init-path": "/usr/bin/tini", "userland-proxy-path": "/x", "min-api-version": "1.30"}
    loaded = load(tmp_path, file=given)
    assert loaded.engine.min_api_version == (1, 30)
    assert checks.ignored(loaded.settings) == [
        "init-path has no effect: the init is our own",
        "userland-proxy-path has no effect: published ports need no process",
    ]


async def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        config = load(tmp_path, "-H", host, "--tls=false")
        with pytest.raises(SampanError, match=f"failed to listen on {host}: .*in use"):
            await listeners.listen(config, asyncio.Protocol)


async def test_a_connection_without_descriptors_left_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    connection = tls.TlsConnection(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), asyncio.Protocol)
    ours, theirs = socket.socketpair()
    with theirs:
        await asyncio.get_running_loop().create_unix_connection(lambda: connection, sock=ours)
        monkeypatch.setattr(tls.socket, "socketpair", none_left)
        await connection._join()
        assert connection.transport.is_closing()
