"""`sampan image explore`: on a terminal, as text and JSON, and as a judge in CI."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyte
import pytest

from tests.support import archives
from tests.support.archives import Built
from tests.support.daemon import BIN, Daemon
from tests.support.terminal import Terminal

LAYERS = (
    archives.tree({"etc/passwd": b"x" * 1000, "etc/old": b"y" * 3000, "srv/data/f": b"z" * 500}),
    archives.tree({"etc/passwd": b"n" * 2000, "etc/.wh.old": b"", "srv/data/evil\x1b[2J": b"", "new": b"!" * 10}),
)


@pytest.fixture
def image(daemon: Daemon, name: str) -> Iterator[str]:
    daemon.ok("load", "-q", stdin=archives.buildx_docker(f"docker.io/library/{name}:1", Built(LAYERS)))
    yield f"{name}:1"
    daemon.ok("rmi", f"{name}:1")


def test_the_terminal_page(daemon: Daemon, image: str) -> None:
    screen = pyte.Screen(90, 16)
    stream = pyte.ByteStream(screen)
    argv = [str(BIN / "sampan"), "image", "explore", image]
    with Terminal(argv, {**daemon.environment(), "TERM": "xterm"}, rows=16, columns=90) as terminal:

        def after(keys: str) -> list[str]:
            terminal.type(keys)
            stream.feed(terminal.expect("q: leave"))
            return [line.rstrip() for line in screen.display]

        lines = after("")
        assert lines[0] == f"{image}: 6.51kB, 4kB wasted, efficiency 38.56%"
        assert lines[1].split() == ["LAYERS", "FILES", "AFTER", "THE", "LAYER"]
        assert lines[2].split()[:2] == ["4.5kB", "COPY"]
        assert [line[30:] for line in lines[2:4]] == ["A       4kB  + etc/", "A      500B  + srv/"]
        assert lines[14] == "3 added, 0 changed, 0 removed   COPY"
        lines = after("\x1b[B")  # the second layer
        assert [line[30:] for line in lines[2:5]] == [
            "M       2kB  + etc/",
            "M      500B  + srv/",
            "A       10B    new",
        ]
        assert lines[14].startswith("2 added, 1 changed, 1 removed")
        after("\t")
        lines = after(" ")  # etc opens
        assert [line[30:] for line in lines[2:5]] == [
            "M       2kB  - etc/",
            "D       3kB      old",
            "M       2kB      passwd",
        ]
        after("j"), after("j"), after("j"), after(" "), after("j")
        lines = after(" ")  # srv/data opens; a hostile name does nothing to the terminal
        assert [line[33:].split() for line in lines[6:9]] == [["500B", "-", "data/"], ["0B", "evil?[2J"], ["500B", "f"]]
        lines = after("c")  # changes only
        assert "f" not in [line[33:].split()[-1] for line in lines[2:9] if line[33:]]
        terminal.resize(10, 60)
        stream.feed(terminal.expect("c: ch"))
        terminal.type("q")
        assert terminal.finish() == 0
        assert terminal.shown.endswith(b"\x1b[?25h\x1b[?1049l")


def test_thresholds_decide_in_ci(daemon: Daemon, image: str) -> None:
    def explore(*flags: str) -> tuple[int, str, str]:
        result = daemon.sampan("image", "explore", *flags, image)
        return result.status, result.out, result.err

    status, out, err = explore("--ci")
    assert status == 1 and "efficiency 0.3856 is below 0.9" in err and "wasted share 0.6144 is above 0.1" in err
    assert "wasted 4000" in out and "3000  1 times  /etc/old" in out
    kept = ("--ci", "--lowest-efficiency", "0.3", "--highest-wasted-share", "0.7")
    assert explore(*kept)[::2] == (0, "")
    status, _, err = explore(*kept, "--highest-wasted-bytes", "3kB")
    assert status == 1 and "4000 wasted bytes are more than 3072" in err
    assert explore(*kept, "--highest-wasted-bytes", "4kB")[0] == 0
    status, out, _ = explore("--format", "json")
    assert status == 0 and json.loads(out)["wasted"] == 4000
    for flags in (("--lowest-efficiency", "two"), ("--highest-wasted-share", "7"), ("--highest-wasted-bytes", "x"),
                  ("--format", "yaml")):  # fmt: skip
        status, out, err = explore("--ci", *flags)
        assert status not in (0, 1) or out == ""
        assert flags[1] in err and "Traceback" not in err
