"""How a build looks while it runs: plain lines, a live table on a terminal, or the daemon's events as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from .command import CommandFailed

if TYPE_CHECKING:
    from sampan.client.types import Progress

Event = dict[str, Any]
MODES = ("auto", "plain", "tty", "rawjson", "quiet", "none")
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
        self.provenance: list[dict[str, Any]] = []
        """Of each image, where it was asked for."""

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
                self.images, self.provenance = event["images"], event.get("provenance", [])
                self.index, self.index_size = event.get("index", ""), event.get("index_size", 0)
        return event


def follow(messages: Iterable[Progress], view: View) -> Outcome:
    """Show all messages; CommandFailed where one is an error."""
    outcome = Outcome()
    for message in messages:
        if "error" in message or "errorDetail" in message:
            detail = message.get("errorDetail") or {}
            text = detail.get("message") or message.get("error", "")
            raise CommandFailed(f"ERROR: failed to build: failed to solve: {text}", detail.get("code") or 1)
        event = outcome.note(message.get("aux") or {})
        if event is not None:
            view.event(event)
        elif "stream" in message:  # another engine's builder, or the last words of ours
            view.event({"event": "Text", "text": message["stream"]})
    return outcome


@contextmanager
def closing(view: View) -> Iterator[View]:
    """A view for as long as it is needed; it ends as a failure does where something is raised."""
    failed = True
    try:
        yield view
        failed = False
    finally:
        view.close(failed)


@contextmanager
def aside(view: View, name: str) -> Iterator[Callable[[str], None]]:
    """Work of the client's own as a step. What is given tells what is being done, and ends what was told before."""
    last = ""

    def tell(kind: str, **more: Any) -> None:
        view.event({"event": kind, "step": name, "time": time.time_ns(), **more})

    def begin(text: str) -> None:
        nonlocal last
        if last:
            tell("StepStatus", text=last, done=True)
        if text:
            tell("StepStatus", text=text)
        last = text

    tell("StepStarted", name=name, bare=True)
    try:
        yield begin
    except Exception as error:
        tell("StepDone", error=str(error))
        raise
    begin("")
    tell("StepDone")


class Part:
    """One target's part of a display that several builds share."""

    def __init__(self, view: View, target: str, lock: Lock) -> None:
        self._view, self._target, self._lock = view, target, lock

    def event(self, event: Event) -> None:
        with self._lock:
            self._view.event({**event, "target": self._target})

    def close(self, failed: bool) -> None:
        """The whole is closed by its owner."""


def choose(mode: str) -> View:
    """The view of a `--progress` mode. Progress goes to standard error: the result alone is for pipes."""
    mode = os.environ.get("BUILDKIT_PROGRESS") or mode if mode == "auto" else mode
    if mode not in MODES:
        raise CommandFailed(f"ERROR: invalid progress mode {mode}")
    if mode in ("quiet", "none"):
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
        self.title = _title(event)
        self.statuses: dict[str, tuple[float, float]] = {}
        """What it is doing beside its output: when each began and ended, 0 where it has not."""

    @property
    def took(self) -> float:
        return max(0.0, (self.ended or time.time()) - self.began)

    def note(self, event: Event) -> None:
        """Keep what it does now."""
        now = event.get("time", 0) / 1e9 or time.time()
        began, _ = self.statuses.get(event["text"], (now, 0.0))
        self.statuses[event["text"]] = began, now if event.get("done") else 0.0

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


def _name(name: str) -> str:
    """A step's name as BuildKit has it: base images by their full names."""
    kind, _, ref = name.partition(" ")
    if kind != "FROM" or not ref or ref.startswith("sha256:"):
        return name
    from .reference import canonical, with_default_tag

    return f"FROM {with_default_tag(canonical(ref))}"


def _title(event: Event) -> str:
    place = f"{event.get('number')}/{event.get('total')}" if event.get("number") else "internal"
    words = [event.get("target", ""), *(() if event.get("bare") else (event.get("stage", ""), place))]
    shown = " ".join(filter(None, words))
    return f"[{shown}] {_name(event['name'])}" if shown else str(event["name"])


class Steps:
    """The steps in the order of their beginning, and which are to come; by target, for equal ones of two are two."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.steps: dict[tuple[str, str], Step] = {}
        self.planned: set[tuple[str, str]] = set()
        self._excerpts: list[str] = []

    def step(self, event: Event) -> Step | None:
        """The step that an event is of."""
        return self.steps.get((event.get("target", ""), event.get("step", "")))

    def note(self, event: Event) -> list[str]:
        """Keep what an event tells; the lines of output that it completes."""
        step, target = self.step(event), event.get("target", "")
        match event["event"]:
            case "Planned":
                self.planned |= {(target, one["step"]) for one in event["steps"] if one["step"]}
            case "StepStarted" if step is None:
                self.steps[target, event["step"]] = Step(event, len(self.steps) + 1)
            case "StepStatus" if step is not None:
                step.note(event)
            case "StepLog" if step is not None:
                return step.log(event["text"])
            case "StepDone" if step is not None:
                return step.done(event)
            case "Failed":
                self._excerpts.append(event["excerpt"])
        return []

    def epilogue(self) -> None:
        """What failed: the end of its output again, and its place."""
        for step in self.steps.values():
            if step.error:
                lines = "".join(f"{moment:.3f} {line}\n" for moment, line in step.lines[-TAIL:])
                self.out.write(f"------\n > {step.title}:\n{lines}------\n")
        for excerpt in self._excerpts:
            self.out.write(excerpt + "\n")
        self.out.flush()


class Plain(Steps):
    """A line for each thing that happens, numbered by step."""

    def event(self, event: Event) -> None:
        lines = self.note(event)
        step = self.step(event)
        number = f"#{step.index} " if step is not None else ""
        match event["event"]:
            case "StepStarted" if step is not None:
                self._say(f"{number}{step.title}")
            case "StepLog" if step is not None:
                for line in lines:
                    self._say(f"{number}{step.took:.3f} {line}")
            case "StepStatus" if step is not None:
                self._say(f"{number}{_status(step, event)}")
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
            for step in self.steps.values():
                if not step.ended:
                    self._say(f"#{step.index} CANCELED\n")
            self.epilogue()


def _status(step: Step, event: Event) -> str:
    """`exporting layers 0.1s done`; what takes no time says none."""
    if not event.get("done"):
        return str(event["text"])
    began, ended = step.statuses[event["text"]]
    took = f" {ended - began:.1f}s" if ended - began >= 0.05 else ""
    return f"{event['text']}{took} done"


def warning(event: Event) -> str:
    """`WARN: Rule: text (line 3)`."""
    rule = f"{event['rule']}: " if event.get("rule") else ""
    place = f" (line {event['line']})" if event.get("line") else ""
    return f"WARN: {rule}{event['text']}{place}"
