"""How a build looks while it runs: plain lines, a live table on a terminal, or the daemon's events as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from .command import CommandFailed

if TYPE_CHECKING:
    from sampan.client.types import Progress

Event = dict[str, Any]
MODES = ("auto", "plain", "tty", "rawjson", "quiet")
KEPT_LINES = 30
"""Of a step's output."""
TAIL = 10
"""Of the step that failed, shown again at the end."""


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
    mode = os.environ.get("BUILDKIT_PROGRESS") or mode if mode == "auto" else mode
    if mode not in MODES:
        raise CommandFailed(f"invalid progress mode {mode}: one of {', '.join(MODES)} is wanted")
    if mode == "quiet":
        return Silent()
    if mode == "rawjson":
        return Raw(sys.stdout)
    if mode == "tty" or (mode == "auto" and sys.stderr.isatty()):
        from .build_live import Live

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
        self.lines: list[tuple[float, str]] = []
        """With the seconds after which each came."""
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
        found = [line.rstrip("\r").rpartition("\r")[2] for line in whole]
        self._keep(found)
        return found

    def _keep(self, lines: list[str]) -> None:
        self.lines = (self.lines + [(self.took, line) for line in lines])[-KEPT_LINES:]

    def shown(self) -> list[str]:
        """The last lines, the one that is being written among them (a bar that `\\r` draws anew)."""
        part = self._part.rstrip("\r").rpartition("\r")[2]
        return [line for _, line in self.lines] + ([part] if part else [])

    def done(self, event: Event) -> list[str]:
        """The last, unfinished line."""
        self.ended = event.get("time", 0) / 1e9 or time.time()
        self.cached, self.error = event.get("cached", False), event.get("error", "")
        rest = [self._part] if self._part else []
        self._keep(rest)
        self._part = ""
        return rest


class Steps:
    """The steps in the order of their beginning, and which are to come."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.steps: dict[str, Step] = {}
        self.planned: set[str] = set()
        self._excerpt = ""

    def note(self, event: Event) -> list[str]:
        """Keep what an event tells; the lines of output that it completes."""
        step = self.steps.get(event.get("step", ""))
        match event["event"]:
            case "Planned":
                self.planned |= {one["step"] for one in event["steps"] if one["step"]}
            case "StepStarted" if step is None:
                self.steps[event["step"]] = Step(event, len(self.steps) + 1)
            case "StepLog" if step is not None:
                return step.log(event["text"])
            case "StepDone" if step is not None:
                return step.done(event)
            case "Failed":
                self._excerpt = event["excerpt"]
        return []

    def epilogue(self) -> None:
        """What failed: the end of its output again, and its place."""
        for step in self.steps.values():
            if step.error:
                lines = "".join(f"{moment:.3f} {line}\n" for moment, line in step.lines[-TAIL:])
                self.out.write(f"------\n > {step.title}:\n{lines}------\n")
                break
        if self._excerpt:
            self.out.write(self._excerpt + "\n")
        self.out.flush()


class Plain(Steps):
    """A line for each thing that happens, numbered by step."""

    def event(self, event: Event) -> None:
        lines = self.note(event)
        step = self.steps.get(event.get("step", ""))
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
                self.out.write(event["text"])
        self.out.flush()

    def _say(self, line: str) -> None:
        self.out.write(line + "\n")

    def close(self, failed: bool) -> None:
        if failed:
            self.epilogue()


def warning(event: Event) -> str:
    """`WARN: Rule: text (line 3)`."""
    rule = f"{event['rule']}: " if event.get("rule") else ""
    place = f" (line {event['line']})" if event.get("line") else ""
    return f"WARN: {rule}{event['text']}{place}"
