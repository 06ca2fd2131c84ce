"""Images and refusals of the corpus are those that BuildKit gave (goldens.json; recorded by `record.py`)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...support.daemon import Daemon
from ...support.hosts import Result, run
from ...system.conftest import _shared, daemon, name  # noqa: F401 # the fixtures of system tests
from .cases import CASES, CLASSIC, FAILURES, Case
from .differences import EXPLAINED
from .observe import observe
from .origins import Origins, context
from .record import classic

GOLDENS = json.loads(Path(__file__).with_name("goldens.json").read_text())


@pytest.fixture(scope="session")
def _origins(_shared: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:  # noqa: F811 # a fixture
    origins = Origins(_shared.host, tmp_path_factory.mktemp("origins"))
    yield
    origins.close()


def _base_layers(case: Case) -> int:
    return 0 if "FROM scratch" in case.dockerfile else 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_image(case: Case, daemon: Daemon, name: str, tmp_path: Path, _origins: None) -> None:  # noqa: F811
    words = context(case, tmp_path / "context")
    built = daemon.sampan("build", "-t", name, *words)
    assert built.status == 0, f"{built}\n{daemon.log[-3000:]}"
    archive = subprocess.run(["docker", "-H", daemon.url, "save", name], capture_output=True, check=True).stdout
    ours = observe(archive, _base_layers(case))
    golden = GOLDENS["images"][case.name]
    assert not differences(case.name, ours, golden)
    if not case.ours and not case.remote:  # that client fetches for itself, outside the daemon's network
        _same_for_the_stock_client(daemon, name, words)
    daemon.ok("rmi", name)


def _same_for_the_stock_client(daemon: Daemon, name: str, words: list[str]) -> None:  # noqa: F811
    """Another client packs the context in its own way; every step is a hit all the same, and the image is the same."""
    environment = {**daemon.environment(), "DOCKER_BUILDKIT": "0"}
    command = ["docker", "build", "-q", *[word for word in words if word != "--no-cache"]]
    built = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert built.returncode == 0, built.stderr
    assert built.stdout.strip() == daemon.ok("inspect", "--format", "{{.Id}}", name)


def differences(name: str, ours: dict[str, Any], golden: dict[str, Any]) -> list[str]:  # noqa: F811
    found = []
    for key in golden:
        if (name, key) in EXPLAINED or ours[key] == golden[key]:
            continue
        if isinstance(golden[key], dict):
            paths = sorted(ours[key].keys() | golden[key].keys())
            for path in paths:
                mine, theirs = ours[key].get(path), golden[key].get(path)
                if mine != theirs and (name, f"{key} {path}") not in EXPLAINED:
                    found.append(f"{key} {path}: {mine} is not {theirs}")
        else:
            found.append(f"{key}: {ours[key]} is not {golden[key]}")
    return found


@pytest.mark.parametrize("case", FAILURES, ids=lambda case: case.name)
def test_refusal(case: Case, daemon: Daemon, tmp_path: Path, _origins: None) -> None:  # noqa: F811
    failed = daemon.sampan("build", *context(case, tmp_path / "context"))
    assert failed.status != 0
    said = failed.err.strip().splitlines()[-1]
    if (case.name, "text") not in EXPLAINED:
        assert (
            said.removeprefix("ERROR: failed to build: failed to solve: ").removeprefix("Error response from daemon: ")
            == GOLDENS["failures"][case.name]
        )


@pytest.mark.parametrize("case", [case for case in CASES if case.name in CLASSIC], ids=lambda case: case.name)
def test_the_classic_stream(case: Case, daemon: Daemon, tmp_path: Path, _origins: None) -> None:  # noqa: F811
    """What the stock client shows of a build without BuildKit."""

    def docker(*words: str) -> Result:
        environment = {**daemon.environment(), "DOCKER_BUILDKIT": "0"}
        return run(["docker", *words], env=environment, timeout=300)

    ours, golden = classic(docker, case, tmp_path / "context"), GOLDENS["classic"][case.name]
    if (case.name, "classic") not in EXPLAINED:
        assert ours == golden
    daemon.ok("rmi", "it")
