"""The display of builds: a table in a window as BuildKit's, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sampan.cli import build_progress
from sampan.cli.build_live import Live, cut, fill
from sampan.cli.build_progress import Plain, Raw, Silent, choose
from sampan.cli.command import CommandFailed

from ...support.screen import Window

T0 = time.time_ns()


def planned(*steps: str) -> dict[str, Any]:
    return {"event": "Planned", "steps": [{"text": step, "line": 1, "step": step} for step in steps]}


def started(step: str, stage: str = "", number: int = 1, total: int = 3, *, at: float = 0) -> dict[str, Any]:
    return {"event": "StepStarted", "step": step, "name": f"RUN {step}", "stage": stage, "number": number,
            "total": total, "time": T0 + int(at * 10**9)}  # fmt: skip


def said(step: str, text: str) -> dict[str, Any]:
    return {"event": "StepLog", "step": step, "stream": 1, "text": text}


def done(step: str, *, at: float = 0, **more: Any) -> dict[str, Any]:
    return {"event": "StepDone", "step": step, "time": T0 + int(at * 10**9), **more}


@pytest.fixture
def window() -> Iterator[Window]:
    window = Window(12, 60)
    yield window
    window.close()


@pytest.fixture
def view(window: Window) -> Iterator[Live]:
    view = Live(window.out)
    yield view
    view.close(False)


def plainly(rows: list[str]) -> list[str]:
    """Rows without what clocks say, and without the empty ones."""
    return [re.sub(r"\d+\.\d+s", "*s", re.sub(r" +(?=\d+\.\ds$)", " ", row)) for row in rows if row]


def test_a_table_of_steps(window: Window, view: Live) -> None:
    for event in (
        planned("base", "one", "two", "three"), started("base", "a"), done("base", at=1.2, cached=True),
        started("one", "a", 2), started("two", "b", 1, 1), said("one", "first\nsecond\npar"), said("two", "10%\r20%\r"),
    ):  # fmt: skip
        view.event(event)
    rows = window.wait(lambda rows: any("20%" in row for row in rows))
    assert plainly(rows) == [
        "[+] Building *s (1/4)", " => CACHED [a 1/3] RUN base *s", " => [a 2/3] RUN one *s", " => => # first",
        " => => # second", " => => # par", " => [b 1/1] RUN two *s", " => => # 20%",
    ]  # fmt: skip
    assert rows[1] == " => CACHED [a 1/3] RUN base".ljust(55) + " 1.2s" and window.colour("RUN base") == "blue"
    assert window.colour("RUN one") == "default"
    view.event(done("one", at=2))
    view.event(done("two", at=3))
    rows = window.wait(lambda rows: "(3/4)" in rows[0])
    assert not any("=> => #" in row for row in rows), "the output of what is done is folded away"
    view.event(started("three", "b", 2, at=3))
    view.event(done("three", at=4.5))
    view.close(False)
    assert plainly(window.settle()) == [
        "[+] Building *s (4/4) FINISHED", " => CACHED [a 1/3] RUN base *s", " => [a 2/3] RUN one *s",
        " => [b 1/1] RUN two *s", " => [b 2/3] RUN three *s",
    ]  # fmt: skip
    assert window.scrolled == []


def test_what_does_not_fit_is_left_out_until_the_end(window: Window, view: Live) -> None:
    for number in range(20):
        view.event(started(f"s{number}", number=number + 1, total=22))
        view.event(done(f"s{number}"))
    for name in ("x", "y"):
        view.event(started(name, number=21, total=22))
        view.event(said(name, "".join(f"{name}{line}\n" for line in range(30))))
    rows = window.wait(lambda rows: any("y29" in row for row in rows))
    assert sum("=> => #" in row for row in rows) == 8 and any("RUN x " in row for row in rows)
    assert "RUN s19" not in "\n".join(rows) and window.scrolled == []
    view.event(done("x"))
    view.event(done("y"))
    view.close(False)
    window.settle()
    shown = [*window.scrolled, *window.rows]
    assert [row for row in shown if " RUN s" in row] == [row for row in shown if re.search(r"RUN s\d+ +0\.0s$", row)]
    assert sum(" RUN s" in row for row in shown) == 20 and sum("[+]" in row for row in shown) == 1


@pytest.mark.parametrize(("rows", "columns"), [(12, 40), (6, 60), (5, 30), (20, 100)])
def test_another_size_of_the_window(window: Window, view: Live, rows: int, columns: int) -> None:
    for name in ("one", "two", "three", "four"):
        view.event(started(name))
        view.event(said(name, "a long line of output that has to be cut somewhere, or else it wraps around\n" * 3))
    window.wait(lambda seen: "RUN four" in "\n".join(seen))
    window.resize(rows, columns)
    view.event(started("five"))
    seen = window.wait(lambda seen: "RUN five" in "\n".join(seen))
    window.settle()
    seen = window.rows
    assert sum("[+] Building" in row for row in seen) == 1 and seen[0].startswith("[+] Building"), seen
    assert sum("RUN five" in row for row in seen) == 1
    view.close(True)
    window.settle()
    shown = "\n".join([*window.scrolled, *window.rows])
    assert len(re.findall(r"=> CANCELED \[1/3\]", shown)) == 5


def test_a_failure_shows_its_last_output_again(window: Window, view: Live) -> None:
    window.resize(40, 60)
    view.event(started("other"))
    view.event(started("bad", "stage", 2))
    view.event(said("bad", "".join(f"line {number}\n" for number in range(50)) + "no newline"))
    view.event(done("bad", at=1, error="exit code: 7"))
    view.event({"event": "Warned", "rule": "Rule", "text": "beware", "line": 3})
    view.event({"event": "Failed", "excerpt": "Dockerfile:2\n----"})
    view.close(True)
    rows = window.settle()
    assert window.colour("ERROR [stage 2/3] RUN bad") == "red"
    assert window.colour("CANCELED [1/3] RUN other") == "brown"
    shown = "\n".join(rows)
    tail = "".join(rf"\d+\.\d{{3}} line {number}\n" for number in range(41, 50)) + r"\d+\.\d{3} no newline\n"
    assert re.search(r"WARN: Rule: beware \(line 3\)\n------\n > \[stage 2/3\] RUN bad:\n" + tail, shown), shown
    assert "------\nDockerfile:2\n----\n" in shown and "FINISHED" not in shown


def status(step: str, text: str, *, at: float = 0, done: bool = True) -> dict[str, Any]:
    return {"event": "StepStatus", "step": step, "text": text, "done": done, "time": T0 + int(at * 10**9)}


def test_an_export_says_what_it_does(window: Window, view: Live) -> None:
    out = io.StringIO()
    plain = Plain(out)
    export = {**started("export", number=0), "name": "exporting to image", "bare": True}
    for event in (
        export, status("export", "exporting layers", done=False), status("export", "exporting layers", at=0.31),
        status("export", "writing image sha256:1", at=0.31), {**export, "target": "web"}, done("export", at=0.4),
    ):  # fmt: skip
        plain.event(event)
        view.event(event)
    plain.close(True)
    assert out.getvalue() == (
        "#1 exporting to image\n#1 exporting layers\n#1 exporting layers 0.3s done\n"
        "#1 writing image sha256:1 done\n#2 [web] exporting to image\n#1 DONE 0.4s\n\n#2 CANCELED\n\n"
    )
    view.close(False)
    assert plainly(window.settle()) == [
        "[+] Building *s (1/2) FINISHED", " => exporting to image *s", " => => exporting layers *s",
        " => => writing image sha256:1 *s", " => CANCELED [web] exporting to image *s",
    ]  # fmt: skip


def test_output_cannot_draw(window: Window, view: Live) -> None:
    """What a step writes is shown, and neither moves the cursor nor changes colours or titles."""
    view.event(started("evil"))
    view.event(said("evil", "a\x1b[2J\x1b[31mred\x1b[0m\x1b]0;title\x07\tb\x08\x9b\x1b(0\n漢字" + "漢" * 60 + "\n"))
    rows = window.wait(lambda rows: any("漢" in row for row in rows))
    assert rows[2].startswith(" => => # ared") and rows[0].startswith("[+] Building"), rows
    assert window.colour("ared") == "default"
    view.event(done("evil"))
    view.close(False)
    assert len(plainly(window.settle())) == 2


@pytest.mark.parametrize(
    ("text", "width", "wanted"), [("abc", 2, "ab"), ("漢字", 3, "漢"), ("e\u0301x", 1, "e\u0301"), ("a\x07b", 2, "ab")]
)
def test_widths(text: str, width: int, wanted: str) -> None:
    assert cut(text, width) == wanted
    assert fill("漢", 4) == "漢  "


def test_plain_lines() -> None:
    out = io.StringIO()
    view = Plain(out)
    for event in (
        started("one"), said("one", "first\nsec"), said("one", "ond\nrest"), started("two", number=2),
        done("two", at=2, cached=True), done("one", at=1.5), started("three", number=3),
        done("three", error="exit code: 1"), {"event": "Failed", "excerpt": "Dockerfile:3"},
    ):  # fmt: skip
        view.event(event)
    view.close(True)
    assert re.sub(r"\d+\.\d{3} ", "TIME ", out.getvalue()).splitlines() == [
        "#1 [1/3] RUN one", "#1 TIME first", "#1 TIME second", "#2 [2/3] RUN two", "#2 CACHED", "", "#1 TIME rest",
        "#1 DONE 1.5s", "", "#3 [3/3] RUN three", "#3 ERROR: exit code: 1", "", "------", " > [3/3] RUN three:",
        "------", "Dockerfile:3",
    ]  # fmt: skip


def test_the_mode_follows_the_terminal(monkeypatch: pytest.MonkeyPatch, window: Window) -> None:
    monkeypatch.delenv("BUILDKIT_PROGRESS", raising=False)
    monkeypatch.setattr(build_progress.sys, "stderr", io.StringIO())
    assert [type(choose(mode)) for mode in ("auto", "plain", "rawjson", "quiet")] == [Plain, Plain, Raw, Silent]
    monkeypatch.setattr(build_progress.sys, "stderr", window.out)
    live = choose("auto")
    assert isinstance(live, Live)
    live.close(False)
    monkeypatch.setenv("BUILDKIT_PROGRESS", "plain")
    assert type(choose("auto")) is Plain
    with pytest.raises(CommandFailed, match="invalid progress mode"):
        choose("loud")
