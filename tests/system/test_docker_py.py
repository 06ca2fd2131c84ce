"""docker-py: containers, streams over sockets, the low-level API."""

from __future__ import annotations

import gc
import io
import socket
import tarfile
import time
from collections.abc import Iterator

import docker
import pytest
from docker.types import IPAMConfig, IPAMPool
from docker.utils.socket import demux_adaptor, frames_iter

from ..support.daemon import Daemon

# docker-py leaves the sockets of taken-over connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def client(daemon: Daemon) -> Iterator[docker.DockerClient]:
    made = daemon.client()
    yield made
    made.close()
    gc.collect()


def test_run_and_errors(client: docker.DockerClient) -> None:
    assert client.containers.run("busybox", ["echo", "hello"], remove=True, network_mode="none") == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True, network_mode="none")
    assert failed.value.exit_status == 3
    assert failed.value.stderr == b"bad\n"
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nosuch")
    with pytest.raises(docker.errors.APIError, match="nosuch"):
        client.containers.create("nosuch:1", "true")


def test_streaming_logs_stats_events_and_wait(client: docker.DockerClient, name: str) -> None:
    script = "echo one; read x; echo two; exit 5"
    container = client.containers.run(
        "busybox", ["sh", "-c", script], name=name, detach=True, stdin_open=True, network_mode="none"
    )
    try:
        lines = container.logs(stream=True, follow=True)
        assert next(lines) == b"one\n"
        container.reload()
        assert container.status == "running"
        sample = next(iter(container.stats(stream=True, decode=True)))
        assert sample["pids_stats"]["current"] == 1
        assert container.stats(stream=False)["cpu_stats"]["online_cpus"] >= 1
        feed = client.events(decode=True, filters={"container": name})
        typed = container.attach_socket(params={"stdin": 1, "stream": 1})
        typed._sock.sendall(b"go\n")
        assert next(lines) == b"two\n"
        assert container.wait(timeout=20) == {"StatusCode": 5}
        assert "die" in {event["Action"] for _, event in zip(range(2), feed, strict=False)}
        feed.close()
        typed._sock.close()
        typed.close()
        assert container.logs(stdout=True, stderr=False) == b"one\ntwo\n"
    finally:
        container.remove(force=True)


def _answer(api: docker.APIClient, container: str, script: str, *, has_tty: bool, raw: bool) -> bytes:
    """What the script says once it is asked: docker-py loses output that arrives together with the response's head."""
    made = api.exec_create(container, ["sh", "-c", f"read line; {script}"], stdin=True, tty=has_tty)
    stream = api.exec_start(made["Id"], tty=raw, socket=True)
    stream._sock.sendall(b"\n")
    answer = b"".join(part for _, part in frames_iter(stream, tty=raw))
    stream.close()
    return answer


def test_exec_with_sockets_and_low_level_calls(client: docker.DockerClient, name: str) -> None:
    container = client.containers.run("busybox", "sleep 999", name=name, detach=True, network_mode="none")
    try:
        assert container.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True).output == (b"out\n", b"err\n")
        assert container.exec_run("false").exit_code == 1
        api = client.api
        made = api.exec_create(container.id, ["sh", "-c", "cat; echo done >&2; exit 6"], stdin=True)
        stream = api.exec_start(made["Id"], socket=True)
        stream._sock.sendall(b"through")
        stream._sock.shutdown(socket.SHUT_WR)
        parts = [demux_adaptor(*frame) for frame in frames_iter(stream, tty=False)]
        stream.close()
        assert b"".join(part[0] or b"" for part in parts) == b"through"
        assert b"".join(part[1] or b"" for part in parts) == b"done\n"
        assert api.exec_inspect(made["Id"])["ExitCode"] == 6
        assert api.inspect_container(name)["State"]["Running"] is True
        # who starts an exec says whether its stream has frames
        assert _answer(api, name, "tty", has_tty=True, raw=False) == b"\r\n/dev/pts/0\r\n"
        assert _answer(api, name, "echo out; echo err >&2", has_tty=False, raw=True) == b"out\n"
        api.resize(container.id, 10, 20)
        with pytest.raises(docker.errors.APIError) as conflict:
            container.remove()
        assert conflict.value.status_code == 409
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo("given")
            entry.size = 5
            tar.addfile(entry, io.BytesIO(b"bytes"))
        assert container.put_archive("/tmp", buffer.getvalue())
        stream, stat = container.get_archive("/tmp/given")
        assert stat["name"] == "given"
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            assert tar.getnames() == ["given"]
        assert {"Path": "/tmp/given", "Kind": 1} in container.diff()
        container.update(mem_limit="64m", memswap_limit="64m")
        container.pause()
        container.unpause()
    finally:
        container.remove(force=True)


def test_images_volumes_networks(client: docker.DockerClient, name: str) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["OSType"] == "linux"
    assert any("busybox:latest" in image.tags for image in client.images.list())
    image = client.images.get("busybox")
    assert image.tag(name, "x")
    archive = b"".join(client.images.get(f"{name}:x").save(named=f"{name}:x"))
    client.images.remove(f"{name}:x")
    assert client.images.load(archive)[0].tags
    client.images.remove(f"{name}:x")
    volume = client.volumes.create(name, labels={"a": "b"})
    network = client.networks.create(name)
    try:
        assert volume.attrs["Labels"] == {"a": "b"}
        assert [found.name for found in client.volumes.list(filters={"label": "a=b"})] == [name]
        assert client.networks.get(name).attrs["Driver"] == "bridge"
        client.containers.run("busybox", "head -c 123456 /dev/zero", volumes={name: {"bind": "/v", "mode": "rw"}},
                              remove=True, network_mode="none", entrypoint=["sh", "-c", "$0 $@ > /v/file"])  # fmt: skip
        user = client.containers.create("busybox", volumes={name: {"bind": "/v", "mode": "ro"}})
        usage = client.df()
        (found,) = [one["UsageData"] for one in usage["Volumes"] if one["Name"] == name]
        assert found == {"RefCount": 1, "Size": 123456}
        assert [one["SizeRootFs"] > one.get("SizeRw", 0) for one in usage["Containers"] if one["Id"] == user.id] == [
            True
        ]
        assert usage["LayersSize"] >= max(one["Size"] for one in usage["Images"]) > 0
        user.remove()
    finally:
        network.remove()
        volume.remove()
    with pytest.raises(docker.errors.APIError) as no_manager:
        client.nodes.list()
    assert no_manager.value.status_code == 503


def test_health_update_and_events(client: docker.DockerClient, name: str) -> None:
    since = time.time()
    health = {"test": ["CMD", "test", "-e", "/tmp/ok"], "interval": 10**8, "timeout": 10**9, "retries": 100}
    container = client.containers.run(
        "busybox", "sleep 999", name=name, detach=True, network_mode="none", healthcheck=health, mem_limit="64m",
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2}, labels={"k": name},
    )  # fmt: skip
    try:
        feed = client.events(decode=True, since=since, filters={"container": name, "event": "health_status"})
        assert container.exec_run("touch /tmp/ok").exit_code == 0
        assert next(feed)["Action"] == "health_status: healthy"
        feed.close()
        container.reload()
        assert (container.health, container.attrs["State"]["Health"]["Log"][-1]["ExitCode"]) == ("healthy", 0)
        changed = container.update(
            mem_limit="96m", memswap_limit="-1", cpu_shares=300, restart_policy={"Name": "always"}
        )
        assert not changed.get("Warnings")
        container.reload()
        host = container.attrs["HostConfig"]
        assert (host["Memory"], host["CpuShares"], host["RestartPolicy"]["Name"]) == (96 << 20, 300, "always")
        assert container.stats(stream=False)["memory_stats"]["limit"] == 96 << 20
        assert [
            found.name for found in client.containers.list(filters={"health": "healthy", "label": f"k={name}"})
        ] == [name]
    finally:
        container.remove(force=True)
    replayed = client.events(
        decode=True, since=since, until=time.time(), filters={"container": [name], "type": "container"}
    )
    actions = [event["Action"] for event in replayed]
    assert [action for action in actions if not action.startswith("exec_")] == [
        "create", "start", "health_status: healthy", "update", "kill", "die", "destroy",
    ]  # fmt: skip


def test_volumes_are_shared_and_networks_connected(client: docker.DockerClient, name: str) -> None:
    pool = IPAMConfig(pool_configs=[IPAMPool(subnet="10.199.7.0/24", gateway="10.199.7.1")])
    network = client.networks.create(name, ipam=pool, labels={"k": name})
    volume = client.volumes.create(name, driver_opts={"type": "tmpfs", "device": "tmpfs"})
    server = client.containers.run(
        "busybox", ["sh", "-c", "echo shared >/d/f; exec httpd -f -p 80 -h /d"], name=f"{name}-a", detach=True,
        volumes={name: {"bind": "/d", "mode": "rw"}}, network_mode="none",
    )  # fmt: skip
    asker = client.containers.run("busybox", "sleep 999", name=f"{name}-b", detach=True, network=name,
                                  volumes_from=[f"{name}-a:ro"])  # fmt: skip
    try:
        client.networks.get("none").disconnect(server)
        network.connect(server, ipv4_address="10.199.7.9", aliases=["shop"])
        assert asker.exec_run("wget -qO- http://shop/f").output == b"shared\n"
        assert asker.exec_run("ping -c 1 -W 5 10.199.7.9").exit_code == 0
        assert asker.exec_run("cat /d/f").output == b"shared\n"
        assert asker.exec_run("touch /d/g").exit_code == 1
        network.reload()
        assert {found.name for found in network.containers} == {f"{name}-a", f"{name}-b"}
        server.reload()
        assert server.attrs["NetworkSettings"]["Networks"][name]["IPAddress"] == "10.199.7.9"
        network.disconnect(server)
        assert asker.exec_run("ping -c 1 -W 1 10.199.7.9").exit_code == 1
        with pytest.raises(docker.errors.APIError, match="active endpoints"):
            network.remove()
        with pytest.raises(docker.errors.APIError, match="volume is in use"):
            volume.remove()
    finally:
        server.remove(force=True)
        asker.remove(force=True)
    assert client.networks.prune(filters={"label": f"k={name}"})["NetworksDeleted"] == [name]
    volume.remove()
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get(name)
