"""Debian's docker-compose on our daemon: three services, two networks, and an order that waits for health."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.model.times import nanoseconds

from ..support import peer
from ..support.daemon import Daemon
from ..support.hosts import Result

PLUGIN = peer.home() / "tree/usr/libexec/docker/cli-plugins/docker-compose"
"""Compose 2, where somebody has bootstrapped the peer; bookworm's own package is 1.29."""

PROGRAMS = [path for path in (shutil.which("docker-compose"), str(PLUGIN)) if path and Path(path).exists()]

PROJECT = """
version: "2.4"
services:
  store:
    image: busybox
    command: [sh, -c, "mkdir -p /data/cgi; echo kept >/data/word; touch /data/ready; exec httpd -f -p 80 -h /data"]
    volumes: ["data:/data"]
    healthcheck: {{test: [CMD, test, -f, /data/ready], interval: 1s, timeout: 5s, retries: 30}}
    networks:
      back: {{ipv4_address: 10.{net}.1.10, aliases: [cellar]}}
  work:
    image: busybox
    command: [sh, -c, "wget -qO- http://cellar/word && exec sleep 300"]
    depends_on:
      store: {{condition: service_healthy}}
    networks:
      back: {{ipv4_address: 10.{net}.1.11}}
      front: {{ipv4_address: 10.{net}.2.11, aliases: [bench]}}
  web:
    image: busybox
    command: [sleep, "300"]
    environment: {{GREETING: hello}}
    depends_on: [work]
    networks: [front]
networks:
  back: {{ipam: {{config: [{{subnet: 10.{net}.1.0/24}}]}}}}
  front: {{ipam: {{config: [{{subnet: 10.{net}.2.0/24}}]}}}}
volumes:
  data: {{}}
"""


@pytest.mark.skipif(not PROGRAMS, reason="docker-compose is not installed")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_project_goes_up_and_down(daemon: Daemon, name: str, program: str) -> None:
    directory = daemon.directory / name
    directory.mkdir()
    (directory / "docker-compose.yml").write_text(PROJECT.format(net=100 + PROGRAMS.index(program)))

    def compose(*words: str) -> Result:
        done = daemon.run(program, "-p", name, "--project-directory", str(directory),
                          "-f", str(directory / "docker-compose.yml"), *words, timeout=180)  # fmt: skip
        assert done.status == 0, f"{words}: {done}\n{daemon.log[-3000:]}"
        return done

    compose("up", "-d")
    try:
        _look(daemon, name, compose)
    finally:
        compose("down", "-v", "-t", "0")
    label = f"label=com.docker.compose.project={name}"
    assert daemon.ok("ps", "-aq", "--filter", label) == ""
    assert daemon.ok("network", "ls", "-q", "--filter", label) == ""
    assert daemon.ok("volume", "ls", "-q", "--filter", label) == ""


def _look(daemon: Daemon, project: str, compose: Callable[..., Result]) -> None:
    shown = compose("ps").out
    assert all(service in shown for service in ("store", "work", "web")), shown
    ids = {service: compose("ps", "-q", service).out.strip() for service in ("store", "work", "web")}
    records = {service: json.loads(daemon.ok("inspect", found))[0] for service, found in ids.items()}
    # the worker's first request is answered because its start waited for the store's health
    assert records["store"]["State"]["Health"]["Status"] == "healthy"
    assert records["work"]["State"]["Running"], compose("logs", "work").out
    healthy = daemon.ok("events", "--since", records["store"]["Created"], "--until", "0s", "--format", "{{.TimeNano}}",
                        "--filter", f"container={ids['store']}", "--filter", "event=health_status")  # fmt: skip
    assert 0 < int(healthy.split()[0]) < nanoseconds(records["work"]["State"]["StartedAt"])
    assert "kept" in compose("logs", "--no-color", "work").out
    addresses = {name: end["IPAddress"] for name, end in records["work"]["NetworkSettings"]["Networks"].items()}
    assert {name.removeprefix(f"{project}_"): text.split(".", 2)[2] for name, text in addresses.items()} == {
        "back": "1.11",
        "front": "2.11",
    }
    assert compose("exec", "-T", "web", "sh", "-c", "echo $GREETING; nslookup bench | grep -c 2.11").out == "hello\n1\n"
    unseen = daemon.docker("exec", ids["web"], "nslookup", "cellar")
    assert unseen.status != 0, unseen
    assert compose("exec", "-T", "work", "wget", "-qO-", "http://store/word").out == "kept\n"
