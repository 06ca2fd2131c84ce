"""A build's events as the classic builder's stream of text."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from ..build.progress import (
    LOG_CLIPPED,
    LOG_LIMIT,
    BuildEvent,
    Explained,
    ImageBuilt,
    Planned,
    PlannedStep,
    StepDone,
    StepLog,
    Warned,
)
from ..model.progress import Progress, Report
from ..oci import digest as digests

_RED = "\x1b[91m{}\x1b[0m"
"""How the classic builder shows what a step writes to its standard error."""


class ClassicLog:
    """A listener: the classic builder's text, or with `events` the typed events themselves."""

    def __init__(self, report: Report, *, quiet: bool, events: bool) -> None:
        self._report = report
        self._quiet = quiet
        self._events = events
        self._classic = Classic()

    def __call__(self, event: BuildEvent) -> None:
        if self._events:
            self._report(Progress(aux={"sampan.build": msgspec.to_builtins(event)}))
            return
        text = self._classic.text(event)
        if text and not self._quiet:
            self._report(Progress(stream=text))


class _Kept:
    """What a step has said before its turn; no more than BuildKit keeps of one (S26)."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = LOG_LIMIT

    def add(self, text: str) -> None:
        if self._room >= 0:
            self._room -= len(text)
            self._parts.append(text if self._room >= 0 else text[: self._room] + LOG_CLIPPED)

    @property
    def text(self) -> str:
        return "".join(self._parts)


class Classic:
    """Steps run in parallel, and are told in the order of their lines: `Step 2/5 : RUN …`, output, ` ---> Using cache`.

    What a step says before its turn has come is kept until then. A step that fails is told at once.
    """

    def __init__(self) -> None:
        self._steps: list[PlannedStep] = []
        self._told = 0
        """How many steps are through; the next one may have been announced."""
        self._announced = 0
        self._said: defaultdict[str, _Kept] = defaultdict(_Kept)
        self._done: dict[str, StepDone] = {}

    def text(self, event: BuildEvent) -> str:
        """What is to be shown now that this has happened."""
        match event:
            case Planned():
                self._steps += event.steps
            case StepLog():
                said = _RED.format(event.text) if event.stream == 2 else event.text
                self._said[event.step].add(said)
            case Explained(hit=False):
                reasons = "".join(f" ---> not cached: {reason}\n" for reason in event.reasons)
                self._said[event.step].add(reasons)
            case StepDone():
                self._done[event.step] = event
            case Warned(rule=""):
                return f"{event.text}\n"
            case ImageBuilt():
                return self._advance() + "".join(f" ---> {digests.short(image.id)}\n" for image in event.images)
        return self._advance() + (self._failed(event.step) if isinstance(event, StepDone) and event.error else "")

    def _advance(self) -> str:
        shown = ""
        while self._told < len(self._steps):
            step = self._steps[self._told]
            shown += self._announce(self._told) + self._said.pop(step.step, _Kept()).text
            if step.step and (step.step not in self._done or self._done[step.step].error):
                break
            shown += self._outcome(step)
            self._told += 1
        return shown

    def _announce(self, number: int) -> str:
        if self._announced > number:
            return ""
        self._announced = number + 1
        return f"Step {number + 1}/{len(self._steps)} : {self._steps[number].text}\n"

    def _outcome(self, step: PlannedStep) -> str:
        words = step.text.split()
        if step.image or (words[0].upper() == "FROM" and "scratch" in words):
            return f" ---> {digests.short(step.image)}\n"
        return " ---> Using cache\n" if step.step and self._done[step.step].cached else ""

    def _failed(self, definition: str) -> str:
        """A step whose turn had not come: those before it will not end any more."""
        for number, step in enumerate(self._steps[self._told :], self._told):
            if step.step == definition and number > self._told:
                return self._announce(number) + self._said.pop(definition, _Kept()).text
        return ""
