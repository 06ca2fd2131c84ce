"""The same command lines against this engine as were recorded from Docker; no peer is needed."""

from __future__ import annotations

import difflib
from pathlib import Path

import msgspec
import pytest

from ..support.daemon import Daemon
from .record import GOLDEN, Golden
from .sessions import FLAGS, Answer, play, sessions

DIFFERENCES = Path(__file__).parent / "differences.txt"
"""Lines whose answer differs on purpose, each with its reason: `session: line -- reason`."""


def excused() -> set[str]:
    rows = [row for row in DIFFERENCES.read_text().splitlines() if row and not row.startswith("#")]
    return {row.partition(" -- ")[0] for row in rows}


def _shown(answer: Answer) -> list[str]:
    return [
        f"$ docker {answer.line}",
        f"exit {answer.status}",
        *answer.out.splitlines(),
        "--",
        *answer.err.splitlines(),
    ]


@pytest.mark.parametrize("session", sessions())
def test_a_session_answers_as_docker_does(request: pytest.FixtureRequest, name: str, session: str) -> None:
    own = session in FLAGS
    daemon: Daemon = (
        request.getfixturevalue("make_daemon")(*FLAGS[session]) if own else request.getfixturevalue("daemon")
    )
    golden = msgspec.json.decode((GOLDEN / f"{session}.json").read_bytes(), type=Golden)

    def docker(variables: list[str], arguments: list[str]) -> tuple[int, str, str]:
        result = daemon.run("env", *variables, "docker", *arguments)
        return result.status, result.out, result.err

    ours, allowed = play(session, docker, name), excused()
    assert [answer.line for answer in ours] == [answer.line for answer in golden.answers], "record it anew"
    different = []
    for theirs, own in zip(golden.answers, ours, strict=True):
        if theirs != own and f"{session}: {own.line}" not in allowed:
            different += difflib.unified_diff(_shown(theirs), _shown(own), golden.version, "sampan", lineterm="", n=20)
    assert not different, "\n".join(different)
