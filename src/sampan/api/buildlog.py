"""A build's events as the classic builder's stream of text."""

from __future__ import annotations

import msgspec

from ..build.progress import BuildEvent, Explained, StepDone, StepLog, StepStarted, Warned
from ..model.progress import Progress, Report


class ClassicLog:
    """A listener: steps as `Step 2/5 : RUN …`, their output, ` ---> Using cache`. With `events` also typed ones."""

    def __init__(self, report: Report, *, quiet: bool, events: bool) -> None:
        self._report = report
        self._quiet = quiet
        self._events = events

    def __call__(self, event: BuildEvent) -> None:
        if self._events:
            self._report(Progress(aux={"sampan.build": msgspec.to_builtins(event)}))
            return
        text = self._text(event)
        if text and not self._quiet:
            self._report(Progress(stream=text))

    def _text(self, event: BuildEvent) -> str:
        match event:
            case StepStarted(number=number) if number:
                stage = f"[{event.stage}] " if event.stage else ""
                return f"Step {number}/{event.total} : {stage}{event.name}\n"
            case StepLog():
                return event.text
            case StepDone(cached=True):
                return " ---> Using cache\n"
            case Warned():
                return f"{event.text}\n"
            case Explained(hit=False):
                return "".join(f" ---> not cached: {reason}\n" for reason in event.reasons)
        return ""
