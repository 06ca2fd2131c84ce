"""A build as a user at a terminal sees it."""

from __future__ import annotations

import time
from pathlib import Path

import pyte

from ...support.daemon import BIN, Daemon
from ...support.terminal import Terminal


def _screen(shown: bytes, rows: int, columns: int) -> list[str]:
    screen = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(shown)
    return [line.rstrip() for line in screen.display if line.strip()]


def test_a_failing_build_and_one_that_is_interrupted(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS one\nRUN echo first; sleep 1\nFROM busybox AS two\nRUN seq 100; exit 3\n"
        "FROM one\nCOPY --from=two / /x\n"
    )
    command = [str(BIN / "sampan"), "build", str(tmp_path)]
    with Terminal(command, daemon.environment(), rows=50, columns=140) as terminal:
        assert terminal.finish(60) == 3
        rows = _screen(terminal.shown, 50, 140)
    assert rows[0].startswith("[+] Building"), rows
    assert [row[:40].rstrip() for row in rows if row.startswith(" => ERROR")] == [
        " => ERROR [two 2/2] RUN seq 100; exit 3"
    ]
    assert " > [two 2/2] RUN seq 100; exit 3:" in rows
    tail = [row.split()[1] for row in rows if row[0].isdigit()]
    assert tail == [str(number) for number in range(91, 101)]
    assert rows[-1].endswith('process "/bin/sh -c seq 100; exit 3" did not complete successfully: exit code: 3'), rows
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo is-running; sleep 1000\n")
    with Terminal(command, daemon.environment(), rows=20, columns=60) as terminal:
        shown = terminal.expect("is-running", 60)
        shown += terminal.expect("# is-running", 60)
        terminal.type("\x03")
        assert terminal.finish(60) == 130
        assert terminal.shown.rfind(b"\x1b[?25h") > terminal.shown.rfind(b"\x1b[?25l"), "the cursor is to be seen"
    deadline = time.monotonic() + 60
    while list((daemon.exec_root / "builds").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)  # the daemon tells nobody that a build is undone
    assert not list((daemon.exec_root / "builds").iterdir())
