"""How a build looks while it runs: plain lines, a live table on a terminal, or the daemon's events as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from .command import CommandFailed

if TYPE_CHECKING:
    from sampan.client.types import Progress

Event = dict[str, Any]
MODES = ("auto", "plain", "tty", "rawjson", "quiet")
KEPT_LINES = 30
"""Of a step's output, to be shown again when it fails."""
SHOWN_LINES = 6
"""Of a running step, on a terminal."""
PERIOD = 0.1


class View(Protocol):
    """Takes the events of one build."""

    def event(self, event: Event) -> None: ...

    def close(self, failed: bool) -> None:
        """The build is over."""


class Outcome:
    """What a build gave: `image` is the ID of this machine's, empty where none was made; `warnings` broken rules."""

    def __init__(self) -> None:
        self.image = self.index = self.delivery = ""
        self.index_size = self.warnings = 0
        self.images: list[dict[str, Any]] = []

    @property
    def identity(self) -> str:
        """What stands for the whole result."""
        return self.index or self.image

    @property
    def platforms(self) -> list[str]:
        """Of all images."""
        return [image["platform"] for image in self.images]

    def note(self, aux: dict[str, Any]) -> Event | None:
        """Keep what an auxiliary message says of the result; the event that it carries."""
        self.image = aux.get("ID", self.image)
        self.delivery = aux.get("sampan.delivery", self.delivery)
        event: Event | None = aux.get("sampan.build")
        if event is not None:
            self.warnings += "rule" in event
            if event["event"] == "ImageBuilt":
                self.images = event["images"]
                self.index, self.index_size = event.get("index", ""), event.get("index_size", 0)
        return event


def follow(messages: Iterable[Progress], view: View) -> Outcome:
    """Show all messages; CommandFailed where one is an error."""
    outcome = Outcome()
    failed = True
    try:
        for message in messages:
            if "error" in message or "errorDetail" in message:
                detail = message.get("errorDetail") or {}
                text = detail.get("message") or message.get("error", "")
                raise CommandFailed(f"ERROR: {text}", detail.get("code") or 1)
            event = outcome.note(message.get("aux") or {})
            if event is not None:
                view.event(event)
            elif "stream" in message:  # another engine's builder, or the last words of ours
                view.event({"event": "Text", "text": message["stream"]})
        failed = False
    finally:
        view.close(failed)
    return outcome


def choose(mode: str) -> View:
    """The view of a `--progress` mode. Progress goes to standard error: the result alone is for pipes."""
    if mode not in MODES:
        raise CommandFailed(f"invalid progress mode {mode}: one of {', '.join(MODES)} is wanted")
    if mode == "quiet":
        return Silent()
    if mode == "rawjson":
        return Raw(sys.stdout)
    if mode == "tty" or (mode == "auto" and sys.stderr.isatty()):
        return Live(sys.stderr)
    return Plain(sys.stderr)


class Silent:
    """Shows nothing but where the build failed."""

    def event(self, event: Event) -> None:
        if event["event"] == "Failed":
            sys.stderr.write(event["excerpt"] + "\n")

    def close(self, failed: bool) -> None:
        pass


class Raw:
    """One JSON object a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def event(self, event: Event) -> None:
        self._out.write(json.dumps(event, separators=(",", ":")) + "\n")
        self._out.flush()

    def close(self, failed: bool) -> None:
        pass


class Step:
    """What is known of one step."""

    def __init__(self, event: Event, index: int) -> None:
        self.index = index
        self.began = event.get("time", 0) / 1e9 or time.time()
        self.ended = 0.0
        self.cached = False
        self.error = ""
        self.lines: list[str] = []
        self._part = ""
        place = f"{event.get('number')}/{event.get('total')}" if event.get("number") else "internal"
        words = " ".join(part for part in (event.get("stage", ""), place) if part)
        self.title = f"[{words}] {event['name']}"

    @property
    def took(self) -> float:
        return max(0.0, (self.ended or time.time()) - self.began)

    def log(self, text: str) -> list[str]:
        """Whole lines that this piece completes."""
        *whole, self._part = (self._part + text).split("\n")
        found = [line.rpartition("\r")[2] for line in whole]
        self.lines = (self.lines + found)[-KEPT_LINES:]
        return found

    def done(self, event: Event) -> list[str]:
        """The last, unfinished line."""
        self.ended, self.cached, self.error = (
            event.get("time", 0) / 1e9,
            event.get("cached", False),
            event.get("error", ""),
        )
        rest = [self._part] if self._part else []
        self.lines, self._part = self.lines + rest, ""
        return rest


class _Steps:
    """The steps in the order of their beginning."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._steps: dict[str, Step] = {}
        self._excerpt = ""

    def _note(self, event: Event) -> list[str]:
        """Keep what an event tells; the lines of output that it completes."""
        step = self._steps.get(event.get("step", ""))
        match event["event"]:
            case "StepStarted" if step is None:
                self._steps[event["step"]] = Step(event, len(self._steps) + 1)
            case "StepLog" if step is not None:
                return step.log(event["text"])
            case "StepDone" if step is not None:
                return step.done(event)
            case "Failed":
                self._excerpt = event["excerpt"]
        return []

    def _epilogue(self) -> None:
        """What failed: its output again, and its place."""
        for step in self._steps.values():
            if step.error:
                lines = "".join(f"{line}\n" for line in step.lines[-10:])
                self._out.write(f"------\n > {step.title}:\n{lines}------\n")
                break
        if self._excerpt:
            self._out.write(self._excerpt + "\n")
        self._out.flush()


class Plain(_Steps):
    """A line for each thing that happens, numbered by step."""

    def event(self, event: Event) -> None:
        lines = self._note(event)
        step = self._steps.get(event.get("step", ""))
        number = f"#{step.index} " if step is not None else ""
        match event["event"]:
            case "StepStarted" if step is not None:
                self._say(f"{number}{step.title}")
            case "StepLog" if step is not None:
                for line in lines:
                    self._say(f"{number}{step.took:.3f} {line}")
            case "StepDone" if step is not None:
                for line in lines:
                    self._say(f"{number}{step.took:.3f} {line}")
                state = f"ERROR: {step.error}" if step.error else "CACHED" if step.cached else f"DONE {step.took:.1f}s"
                self._say(f"{number}{state}\n")
            case "Explained" if not event["hit"]:
                for reason in event.get("reasons", ()):
                    self._say(f"{number}not cached: {reason}")
            case "Explained":
                self._say(f"{number}hit: nothing that it depends on has changed")
            case "Warned":
                self._say(warning(event))
            case "Text":
                self._out.write(event["text"])
        self._out.flush()

    def _say(self, line: str) -> None:
        self._out.write(line + "\n")

    def close(self, failed: bool) -> None:
        if failed:
            self._epilogue()


def warning(event: Event) -> str:
    """`WARN: Rule: text (line 3)`."""
    rule = f"{event['rule']}: " if event.get("rule") else ""
    place = f" (line {event['line']})" if event.get("line") else ""
    return f"WARN: {rule}{event['text']}{place}"


class Live(_Steps):
    """A table that is drawn anew ten times a second: a row a step, the last lines of those that run."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._began = time.time()
        self._drawn = 0
        self._notes: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, daemon=True)
        self._painter.start()

    def event(self, event: Event) -> None:
        with self._lock:
            self._note(event)
            if event["event"] == "Warned":
                self._notes.append(warning(event))
            elif event["event"] == "Explained" and not event["hit"]:
                step = self._steps[event["step"]]
                self._notes += [f"{step.title}: not cached: {reason}" for reason in event.get("reasons", ())]

    def close(self, failed: bool) -> None:
        self._over.set()
        self._painter.join()
        self._draw(final=True, failed=failed)
        for note in self._notes:
            self._out.write(note + "\n")
        if failed:
            self._epilogue()

    def _paint(self) -> None:
        while not self._over.wait(PERIOD):
            with self._lock:
                self._draw()

    def _draw(self, *, final: bool = False, failed: bool = False) -> None:
        import shutil

        width, height = shutil.get_terminal_size()
        rows = self._rows(width, final, failed)
        if not final:
            rows = rows[:1] + rows[1:][-(height - 3) :]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._out.write("\x1b[?25l" + up + "".join(f"\r\x1b[2K{row}\n" for row in rows) + "\x1b[J\x1b[?25h")
        self._out.flush()
        self._drawn = len(rows)

    def _rows(self, width: int, final: bool, failed: bool) -> list[str]:
        steps = list(self._steps.values())
        done = sum(1 for step in steps if step.ended)
        state = " FINISHED" if final and not failed else ""
        rows = [f"[+] Building {time.time() - self._began:.1f}s ({done}/{len(steps)}){state}"]
        for step in steps:
            rows.append(_row(step, width))
            if not step.ended and not final:
                rows += [f" => => # {line}"[:width] for line in step.lines[-SHOWN_LINES:]]
        return rows


def _row(step: Step, width: int) -> str:
    mark = "CACHED " if step.cached else "ERROR " if step.error else ""
    left, right = f" => {mark}{step.title}", f"{step.took:.1f}s"
    space = max(10, width - len(right) - 1)
    text = left[:space].ljust(space) + " " + right
    if step.error:
        return f"\x1b[31m{text}\x1b[0m"
    return f"\x1b[34m{text}\x1b[0m" if step.ended else text
