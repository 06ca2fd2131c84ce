"""Containers in every state that a power cut can find them in, the same for both engines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

Docker = Callable[..., str]

SLEEP = ("busybox", "sleep", "1000")
_FAILING = ("busybox", "sh", "-c", "sleep 0.2; exit 3")

CONTAINERS: dict[str, tuple[str, ...]] = {
    "plain": ("run", "-d", *SLEEP),
    "paused": ("run", "-d", *SLEEP),
    "removed": ("run", "-d", "--rm", *SLEEP),
    "always": ("run", "-d", "--restart", "always", *SLEEP),
    "always-paused": ("run", "-d", "--restart", "always", *SLEEP),
    "always-stopped": ("run", "-d", "--restart", "always", *SLEEP),
    "unless": ("run", "-d", "--restart", "unless-stopped", *SLEEP),
    "unless-stopped": ("run", "-d", "--restart", "unless-stopped", *SLEEP),
    "failure": ("run", "-d", "--restart", "on-failure", *SLEEP),
    "failure-stopped": ("run", "-d", "--restart", "on-failure", *SLEEP),
    "looping": ("run", "-d", "--restart", "always", *_FAILING),
    "gave-up": ("run", "-d", "--restart", "on-failure:1", *_FAILING),
    "healthy": ("run", "-d", "--restart", "always", "--health-cmd", "true", "--health-interval", "300ms", *SLEEP),
    "healthy-plain": ("run", "-d", "--health-cmd", "true", "--health-interval", "300ms", *SLEEP),
    "created": ("create", *SLEEP),
    "created-always": ("create", "--restart", "always", *SLEEP),
    "needs-always": ("run", "-d", "--restart", "always", "--network", "container:always", *SLEEP),
}


def make(docker: Docker) -> None:
    """All of `CONTAINERS`, in their states."""
    for name, (verb, *rest) in CONTAINERS.items():
        docker(verb, "--name", name, *rest)
    docker("pause", "paused", "always-paused")
    docker("stop", "-t", "0", "always-stopped", "unless-stopped", "failure-stopped")
    _until(docker, "healthy", lambda state: state["Health"]["Status"] == "healthy")
    _until(docker, "healthy-plain", lambda state: state["Health"]["Status"] == "healthy")
    _until(docker, "gave-up", lambda state: state["Status"] == "exited")


def _until(docker: Docker, name: str, wanted: Callable[[dict[str, dict[str, str]]], bool]) -> None:
    deadline = time.monotonic() + 30
    while not wanted(json.loads(docker("inspect", "-f", "{{json .State}}", name))):
        assert time.monotonic() < deadline, f"{name} does not get there"
        time.sleep(0.1)  # both engines are asked alike; events would race with the question


def states(docker: Docker) -> dict[str, str]:
    """Status, exit code and health of what is there, once policies have done their work."""
    _until(docker, "healthy", lambda state: state["Status"] == "running" and state["Health"]["Status"] == "healthy")
    _until(docker, "needs-always", lambda state: state["Status"] == "running")
    _until(docker, "looping", lambda state: state["Status"] in ("running", "restarting"))
    found = {}
    for name in docker("ps", "-a", "--format", "{{.Names}}").split():
        state = json.loads(docker("inspect", "-f", "{{json .State}}", name))
        health = (state.get("Health") or {}).get("Status", "")
        found[name] = f"{state['Status']} {state['ExitCode']} {health}".strip()
    if found["looping"].startswith(("running", "restarting")):
        found["looping"] = "loops"
    return found
