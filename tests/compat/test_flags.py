"""Every flag of `docker run` and `docker create`: the stock client says and finds the same here as at a real dockerd.

The tables (flagtable) were recorded from dockerd by record_flags; what differs on purpose is listed in differences.txt.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

import msgspec
import pytest

from ..support.daemon import Daemon
from ..support.hosts import run
from .flagtable import GOLDEN, Golden, Places, Row, furnish, play, rows, tables
from .record_flags import client, record, start_peer
from .test_golden import excused

_FLAG = re.compile(r"^\s+(?:(-\w), )?(--[a-z0-9-]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    """A daemon that knows the CDI devices of the tables."""
    daemon = Daemon()
    places = Places(daemon.directory / "flags", daemon.data_root, daemon.socket, daemon.cgroup_parent)
    furnish(places.directory)
    daemon.flags += ["--cdi-spec-dir", f"{places.directory}/cdi"]
    daemon.start()
    daemon.load_busybox()
    yield places
    daemon.close()


@pytest.fixture(scope="module")
def peer() -> Iterator[Places]:
    peer, places = start_peer()
    yield places
    peer.close()


def golden(table: str) -> Golden:
    return msgspec.json.decode((GOLDEN / f"{table}.json").read_bytes(), type=Golden)


@pytest.mark.parametrize("verb", ["run", "create"])
def test_every_flag_of_the_client_has_a_row(verb: str) -> None:
    flags = _FLAG.findall(run(["docker", verb, "--help"]).out)
    used = {
        word.partition("=")[0]
        for table in tables()
        for _, words in rows(table)
        if words[0] == verb
        for word in words
        if word.startswith("-")
    }
    missing = [long for short, long in flags if not {short, long} & used]
    assert len(flags) > 90
    assert missing == ["--help"]


def differences(table: str, theirs: list[Row], ours: list[Row], allowed: set[str]) -> tuple[str, set[str]]:
    """A diff of the rows that may not differ, and those of `allowed` that do."""
    lines, met = [], set()
    for one, other in zip(theirs, ours, strict=True):
        if one == other:
            continue
        key = f"flags/{table}: {one.line}"
        if key in allowed:
            met.add(key)
        else:
            lines += difflib.unified_diff(one.shown(), other.shown(), "dockerd", "here", lineterm="", n=3)
    return "\n".join(lines), met


@pytest.mark.parametrize("table", tables())
def test_flags_do_what_they_do_in_docker(places: Places, name: str, table: str) -> None:
    recorded = golden(table)
    assert [row.line for row in recorded.rows] == [line for line, _ in rows(table)], "record it anew"
    allowed = {key for key in excused() if key.startswith(f"flags/{table}: ")}
    ours = play(table, client(places), name, places)
    unexpected, met = differences(table, recorded.rows, ours, allowed)
    assert not unexpected, unexpected
    assert met == allowed, "these differ no more: take them out of differences.txt"


@pytest.mark.peer
@pytest.mark.xdist_group("flags-peer")
@pytest.mark.parametrize("table", tables())
def test_the_recorded_answers_hold(peer: Places, table: str) -> None:
    unexpected, _ = differences(table, golden(table).rows, record(table, peer).rows, set())
    assert not unexpected, unexpected
