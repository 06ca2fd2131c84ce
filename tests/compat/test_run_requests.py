"""`sampan run` and `sampan create` take the flags that docker takes and send the same request, or the same refusal."""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ..support.hosts import run
from ..support.replay import Answer, Replay
from ..support.twins import SAMPAN
from .flagtable import furnish, rows, tables

APART: Final = {
    "-v x:/m": "docker takes it for a drive of Windows, whatever the daemon runs on",
    "--mount type=bind,src=DIR/none2,dst=/m,bind-create-src": "docker has it from 28.5 on",
}
"""Rows in which the clients differ, each with its reason."""
CREATED = Answer("POST /containers/create", {"Id": "f" * 64, "Warnings": ["careful"]}, 201)
_RUN_ONLY: Final = ("-d", "--detach", "--detach-keys", "--sig-proxy")
_FLAG = re.compile(r"^\s+(?:(-\w), )?--([a-z0-9-]+)", re.MULTILINE)
OWN_FLAGS: Final = {"secret"}
"""What ours has beyond docker's."""
_MEANT: Final = (".Init", ".StopTimeout")
"""Where zero and false say something."""


class Both:
    """Both clients before one recording daemon."""

    def __init__(self, replay: Replay, directory: Path) -> None:
        self.replay, self.directory = replay, directory
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(directory), "DOCKER_HOST": replay.url, "FROM": "client",
            "SAMPAN_NO_AUTOSTART": "1",
        }  # fmt: skip

    def ask(self, program: str, words: list[str]) -> list[str]:
        """What it said, and the request that it sent: a line for each of its fields that says something."""
        self.replay.requests.clear()
        self.replay.bodies.clear()
        result = run([program, *words], env=self.environment, stdin=b"", timeout=60)
        said = re.sub(r"[Dd]ocker", "sampan", f"exit {result.status}\n{result.out}--\n{result.err}").splitlines()
        made = [line.partition("?")[2] for line in self.replay.requests if "/containers/create" in line]
        bodies = [json.loads(body) for body in self.replay.bodies if body.startswith(b"{")]
        return [*said, *made, *sorted(line for body in bodies for line in _fields(body, ""))]


def _fields(value: Any, path: str) -> Iterator[str]:
    """A line for each field that says something."""
    if value and path in (".ExposedPorts", ".Volumes", ".Env"):
        yield f"{path} = {sorted(value)}"  # maps to nothing, and what was a map
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _fields(inner, f"{path}[{index}]")
    elif value or (value is not None and path.endswith(_MEANT)):
        yield f"{path} = {value!r}"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    directory = tmp_path_factory.mktemp("clients")
    furnish(directory)
    with Replay(directory, CREATED, Answer(f"PUT /containers/{'f' * 64}/archive")) as replay:
        yield Both(replay, directory)


@pytest.mark.parametrize("verb", ["run", "create"])
def test_the_help_names_the_same_flags(verb: str) -> None:
    docker, ours = (_FLAG.findall(run([program, verb, "--help"]).out) for program in ("docker", SAMPAN))
    assert [flag for flag in docker if flag not in ours] == []
    assert {long for short, long in ours if (short, long) not in docker} == OWN_FLAGS


@pytest.mark.parametrize("table", tables())
def test_requests_and_refusals(both: Both, table: str) -> None:
    different = []
    for line, words in rows(table):
        if (
            words[0] not in ("run", "create")
            or line in APART
            or set(_RUN_ONLY) & {word.partition("=")[0] for word in words}
        ):
            continue
        given = ["create", *(word.replace("DIR", str(both.directory)).replace("NAME", "name") for word in words[1:])]
        answers = []
        for program in ("docker", SAMPAN):
            answers.append([f"$ {line}", *both.ask(program, given)])
            for path in both.directory.glob("namecid*"):
                path.unlink()
        different += difflib.unified_diff(*answers, "docker", "sampan", lineterm="", n=1)
    assert not different, "\n".join(different)


def test_the_socket_comes_with_the_logins(both: Both) -> None:
    config = both.directory / ".docker" / "config.json"
    config.parent.mkdir(exist_ok=True)
    config.write_text('{"auths": {"r.example.org": {"auth": "bWU6c2VjcmV0"}}}')
    found = []
    for program in ("docker", SAMPAN):
        request = both.ask(program, ["create", "--use-api-socket", "busybox"])
        archive = next(body for body in both.replay.bodies if body and not body.startswith(b"{"))
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            files = {member.name.strip("/"): tar.extractfile(member) for member in tar if member.isreg()}
            found.append((request, {name: json.load(file) for name, file in files.items() if file}))
    config.unlink()
    assert found[0] == found[1]
    assert found[1][1]["run/secrets/docker/config.json"]["auths"]["r.example.org"]
