"""The engine's pure parts: names, signals, detach keys, merging, validation, back-off, ps columns, times."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from sampan.engine import (
    defaults,
    detach,
    drivers,
    environment,
    merge,
    naming,
    resources,
    restarts,
    signals,
    top,
    validate,
)
from sampan.engine.config import EngineConfig
from sampan.engine.detach import DetachKeys
from sampan.engine.kernel import Kernel
from sampan.errors import InvalidArgument
from sampan.model.container import ContainerConfig, HealthConfig, HostConfig, LogConfig, PortBinding, RestartPolicy
from sampan.model.state import NEVER, ContainerState
from sampan.model.times import nanoseconds, rfc3339
from sampan.oci.config import ExecutionConfig, Healthcheck

KERNEL = Kernel(
    version=1, cpus=2, online=frozenset({0, 1}), memory_nodes=frozenset({0}), tasks=32768, memory=True,
    memory_reservation=True, swap_limit=True, swappiness=True, oom_kill_disable=True, cpu_shares=True, cpu_quota=True,
    read_bps=True, write_bps=True, read_iops=True, write_iops=True, pids=True, cpuset=True,
)  # fmt: skip


def test_names() -> None:
    taken = {f"{one}_{two}" for one in naming.ADJECTIVES for two in naming.SURNAMES}
    name = naming.generate(lambda name: name in taken)
    assert name not in taken
    assert naming.NAME.fullmatch(name)
    assert len(set(naming.ADJECTIVES)) == len(naming.ADJECTIVES)
    assert naming.check_name("/some.name-1") == "some.name-1"
    for bad in ("a", "bad name", "-x", "", "/"):
        with pytest.raises(InvalidArgument, match="Invalid container name"):
            naming.check_name(bad)


def test_signals() -> None:
    assert [signals.number(text) for text in ("9", "KILL", "sigterm", "RTMIN+3", "SIGRTMAX-1", "rtmin")] == [
        9, 9, 15, 37, 63, 34,
    ]  # fmt: skip
    for bad in ("0", "65", "FOO", "RTMIN+99", "", "-1"):
        with pytest.raises(InvalidArgument, match=f"invalid signal: {bad.replace('+', '.')}"):
            signals.number(bad)


def test_detach_keys() -> None:
    assert detach.parse("") == b"\x10\x11"
    assert detach.parse("ctrl-a,x,ctrl-]") == b"\x01x\x1d"
    with pytest.raises(InvalidArgument, match="Invalid detach keys"):
        detach.parse("ctrl-1")
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"ab\x10") == (b"ab", False)
    assert keys.feed(b"c") == (b"\x10c", False)
    assert keys.feed(b"d\x10\x10") == (b"d\x10", False)
    assert keys.feed(b"\x11rest") == (b"", True)


def test_times() -> None:
    assert rfc3339(1_700_000_000_120_000_000) == "2023-11-14T22:13:20.12Z"
    assert rfc3339(1_700_000_000_000_000_000) == "2023-11-14T22:13:20Z"
    assert nanoseconds("2023-11-14T22:13:20.123456789Z") == 1_700_000_000_123_456_789
    assert nanoseconds("2023-11-14T23:13:20+01:00") == 1_700_000_000_000_000_000
    assert nanoseconds(NEVER) == 0


def test_merge_with_the_image() -> None:
    image = ExecutionConfig(
        user="app", env=["PATH=/bin", "A=image"], entrypoint=["/entry"], cmd=["serve"], working_dir="/srv",
        labels={"a": "1", "dev.sampan.secrets": "1"}, exposed_ports={"80/tcp": {}}, volumes={"/data": {}},
        stop_signal="SIGQUIT", healthcheck=Healthcheck(test=["CMD", "check"], interval=5),
    )  # fmt: skip
    config = ContainerConfig(env=["A=mine"], labels={"b": "2"}, healthcheck=HealthConfig(retries=7))
    merge.merge(config, image)
    assert (config.user, config.entrypoint, config.cmd) == ("app", ["/entry"], ["serve"])
    assert config.env == ["A=mine", "PATH=/bin"]
    assert config.labels == {"a": "1", "b": "2"}  # reserved labels of an image select nothing (S19)
    assert config.exposed_ports == {"80/tcp": {}}
    assert (config.stop_signal, config.healthcheck) == (
        "SIGQUIT", HealthConfig(test=["CMD", "check"], interval=5, retries=7),
    )  # fmt: skip
    own = ContainerConfig(entrypoint=["/mine"])
    merge.merge(own, image)
    assert (own.entrypoint, own.cmd) == (["/mine"], None)
    cleared = ContainerConfig(entrypoint=[""], cmd=["echo"])
    merge.merge(cleared, image)
    assert (cleared.entrypoint, cleared.cmd) == (None, ["echo"])
    with pytest.raises(InvalidArgument, match="no command specified"):
        merge.merge(ContainerConfig(), ExecutionConfig())
    with pytest.raises(InvalidArgument, match="no command specified"):
        merge.merge(ContainerConfig(entrypoint=[""]), ExecutionConfig(entrypoint=["x"]))


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (HostConfig(memory=1 << 20), "Minimum memory limit allowed is 6MB"),
        (
            HostConfig(memory_swap=5 << 20),
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            HostConfig(memory=100 << 20, memory_swap=50 << 20),
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (HostConfig(nano_cpus=10**12), "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
        (
            HostConfig(nano_cpus=10**9, cpu_quota=20000),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            HostConfig(cpu_period=10),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (HostConfig(cpu_quota=10), "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (HostConfig(cpuset_cpus="99"), "Requested CPUs are not available - requested 99, available: 0-1"),
        (HostConfig(cpu_shares=-5), "invalid CPU shares (-5): value must be a positive integer"),
        (HostConfig(memory_swappiness=200), "Invalid value: 200, valid memory swappiness range is 0-100"),
        (
            HostConfig(memory=7 << 20, memory_reservation=10 << 20),
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        (HostConfig(io_maximum_iops=5), "invalid option: QoS maximum IOPs configuration is not supported on linux"),
    ],
)
def test_resources_that_are_refused(host: HostConfig, text: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        resources.check(host, KERNEL)
    assert str(failure.value) == text


def test_resources_that_are_discarded() -> None:
    host = HostConfig(blkio_weight=5, cpu_percent=20, oom_kill_disable=True)
    assert resources.check(host, KERNEL) == [
        "OOM killer is disabled for the container, but no memory limit is set, "
        "this can result in the system running out of resources.",
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        "linux does not support CPU percent. Percent discarded.",
    ]
    assert (host.blkio_weight, host.cpu_percent) == (0, 0)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (
            HostConfig(restart_policy=RestartPolicy(name="foo")),
            "invalid restart policy: unknown policy 'foo'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            HostConfig(restart_policy=RestartPolicy(name="no", maximum_retry_count=3)),
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            HostConfig(restart_policy=RestartPolicy(name="on-failure", maximum_retry_count=-1)),
            "invalid restart policy: maximum retry count cannot be negative",
        ),
        (
            HostConfig(restart_policy=RestartPolicy(name="always"), auto_remove=True),
            "can't create 'AutoRemove' container with restart policy",
        ),
        (HostConfig(isolation="hyperv"), "invalid isolation (hyperv): linux only supports 'default'"),
        (HostConfig(shm_size=-1), "SHM size can not be less than 0"),
        (HostConfig(oom_score_adj=2000), "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
        (HostConfig(pid_mode="foo"), "invalid PID mode: foo"),
        (HostConfig(ipc_mode="foo"), "invalid IPC mode: foo"),
        (HostConfig(uts_mode="foo"), "invalid UTS mode: foo"),
        (HostConfig(cgroupns_mode="foo"), "invalid cgroup namespace mode: foo"),
        (HostConfig(cap_add=["FOO"]), 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        (HostConfig(cap_drop=["x"]), 'invalid CapDrop: unknown capability: "CAP_X"'),
        (HostConfig(security_opt=["foo"]), 'invalid --security-opt 1: "foo"'),
        (HostConfig(security_opt=["foo=x"]), 'invalid --security-opt 2: "foo=x"'),
        (HostConfig(security_opt=["no-new-privileges=x"]), 'invalid --security-opt 2: "no-new-privileges=x"'),
        (HostConfig(cap_add=["CAP_ALL"]), 'invalid CapAdd: unknown capability: "CAP_ALL"'),
        (HostConfig(extra_hosts=["foo"]), 'bad format for add-host: "foo"'),
        (
            HostConfig(annotations={"": "1"}),
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ),
        (HostConfig(port_bindings={"foo": []}), 'invalid port specification: "foo"'),
        (HostConfig(port_bindings={"80/tcp": [PortBinding(host_port="x")]}), 'invalid port specification: "x"'),
        (
            HostConfig(network_mode="container:x", port_bindings={"80/tcp": None}),
            "conflicting options: port publishing and the container type network mode",
        ),
        (HostConfig(network_mode="container:x", dns=["1.1.1.1"]), "conflicting options: dns and the network mode"),
        (
            HostConfig(network_mode="host", links=["x"]),
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior",
        ),
    ],
)
def test_host_settings_that_are_refused(host: HostConfig, text: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        validate.check_host(host, ContainerConfig())
    assert str(failure.value) == text


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (ContainerConfig(working_dir="rel"), "the working directory 'rel' is invalid, it needs to be an absolute path"),
        (ContainerConfig(env=["=x"]), "invalid environment variable: =x"),
        (ContainerConfig(stop_signal="FOO"), "invalid signal: FOO"),
        (ContainerConfig(healthcheck=HealthConfig(interval=5)), "Interval in Healthcheck cannot be less than 1ms"),
        (
            ContainerConfig(healthcheck=HealthConfig(start_interval=5)),
            "StartInterval in Healthcheck cannot be less than 1ms",
        ),
        (ContainerConfig(healthcheck=HealthConfig(retries=-1)), "Retries in Healthcheck cannot be negative"),
    ],
)
def test_configurations_that_are_refused(config: ContainerConfig, text: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        validate.check_config(config)
    assert str(failure.value) == text


def test_defaults() -> None:
    host = HostConfig(memory=100 << 20, runtime="runc")
    defaults.apply(host, EngineConfig(), cgroup_version=1)
    assert (host.network_mode, host.restart_policy.name, host.ipc_mode) == ("bridge", "no", "private")
    assert (host.memory_swap, host.shm_size, host.cgroupns_mode) == (200 << 20, 64 << 20, "host")
    assert host.masked_paths is not None and "/proc/kcore" in host.masked_paths
    open_paths = HostConfig(privileged=True)
    defaults.apply(open_paths, EngineConfig(), cgroup_version=2)
    assert (open_paths.masked_paths, open_paths.cgroupns_mode) == (None, "host")
    with pytest.raises(InvalidArgument, match="unknown or invalid runtime name: nosuch"):
        defaults.apply(HostConfig(runtime="nosuch"), EngineConfig(), cgroup_version=1)


def test_back_off() -> None:
    delays, delay = [], 0.0
    for _ in range(12):
        delay = restarts.next_delay(delay, ran_seconds=1)
        delays.append(delay)
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 60
    assert restarts.next_delay(60, ran_seconds=11) == 0.1


@pytest.mark.parametrize(
    ("name", "code", "count", "by_user", "wanted"),
    [
        ("no", 1, 0, False, False),
        ("always", 0, 9, False, True),
        ("always", 0, 9, True, False),
        ("unless-stopped", 0, 0, False, True),
        ("on-failure", 0, 0, False, False),
        ("on-failure", 1, 2, False, True),
        ("on-failure", 1, 3, False, False),
    ],
)
def test_restart_after_exit(name: str, code: int, count: int, by_user: bool, wanted: bool) -> None:
    state = ContainerState(status="exited", exit_code=code, restart_count=count, stopped_by_user=by_user)
    policy = RestartPolicy(name=name, maximum_retry_count=3 if name == "on-failure" else 0)
    assert restarts.wanted_after_exit(policy, state) is wanted


def test_environment_overrides() -> None:
    assert environment.override(["A=1", "B=2"], ["B=3", "C=4", "A"]) == ["B=3", "C=4"]


def test_ps_columns() -> None:
    assert [title for _, title in top.parse("-eo pid,user=WHO,args")] == ["PID", "WHO", "COMMAND"]
    assert [title for _, title in top.parse("-ef")][-1] == "CMD"
    assert [title for _, title in top.parse("-e")] == ["PID", "TTY", "TIME", "CMD"]
    assert [title for _, title in top.parse("axo pid,ppid")] == ["PID", "PPID"]


def test_unset_ports_stay_unset() -> None:
    config = ContainerConfig(cmd=["x"])
    merge.merge(config, ExecutionConfig())
    assert config.exposed_ports is UNSET


def test_log_drivers() -> None:
    drivers.check_logging(LogConfig(type="json-file", config={"max-size": "10m"}))
    with pytest.raises(InvalidArgument, match='error looking up logging plugin nosuch: plugin "nosuch" not found'):
        drivers.check_logging(LogConfig(type="nosuch"))
    with pytest.raises(InvalidArgument, match="unknown log opt 'foo' for json-file log driver"):
        drivers.check_logging(LogConfig(type="json-file", config={"foo": "bar"}))
