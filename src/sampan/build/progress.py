"""What a build tells while it runs: typed events, the same for the API, our client and Python callers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Event(Struct, frozen=True, tag=True, tag_field="event", kw_only=True, omit_defaults=True):
    """Base of all events; `step` is a vertex's definition digest, times are ns since the epoch."""

    step: str = ""


class StepStarted(Event, frozen=True, kw_only=True):
    """`number` of `total` counts the Dockerfile's own steps of one stage; 0 for internal ones.

    `bare`: what is done with the result, or with caches; no part of the graph.
    """

    name: str
    stage: str = ""
    number: int = 0
    total: int = 0
    bare: bool = False
    time: int = 0


class StepStatus(Event, frozen=True, kw_only=True):
    """What an internal step is doing: told when it begins, and again when it is done."""

    text: str
    done: bool = False
    time: int = 0


LOG_LIMIT = 2 << 20
"""How much of a step's output is kept for later, as with BuildKit."""
LOG_CLIPPED = "\n[output clipped, log limit 2MiB reached]\n"


class StepLog(Event, frozen=True, kw_only=True):
    """Output of a step; `stream` is 1 or 2."""

    stream: int
    text: str


class StepDone(Event, frozen=True, kw_only=True):
    """`cached`: its result was there; `error` where it failed."""

    cached: bool = False
    error: str = ""
    time: int = 0


class Explained(Event, frozen=True, kw_only=True):
    """Why a step was not cached: which inputs differ from its last run, or that it never ran."""

    hit: bool
    reasons: tuple[str, ...] = ()


class PlannedStep(Struct, frozen=True):
    """One instruction: its text on one line, its place, the step that carries it out (empty where there is none).

    `image` is the ID of the image that a FROM stands for.
    """

    text: str
    line: int
    step: str = ""
    image: str = ""


class Planned(Event, frozen=True, kw_only=True):
    """What is to be built, before any of it is: the instructions of all needed stages, in order."""

    steps: tuple[PlannedStep, ...]
    platform: str = ""


class BuiltImage(Struct, frozen=True, kw_only=True):
    """One image: digests of its configuration (its ID) and of its manifest, the manifest's size in bytes."""

    id: str
    manifest: str
    size: int
    platform: str


class ImageBuilt(Event, frozen=True, kw_only=True):
    """The build's end: an image for each platform; `index` is the digest of their index where there is one.

    `provenance`: an SLSA predicate of each, where it was asked for.
    """

    images: tuple[BuiltImage, ...]
    index: str = ""
    index_size: int = 0
    provenance: tuple[dict[str, Any], ...] = ()


class Failed(Event, frozen=True, kw_only=True):
    """Where in the Dockerfile the build failed: the lines around, `line` itself marked. The error follows."""

    excerpt: str
    line: int = 0


class Warned(Event, frozen=True, kw_only=True):
    """A finding of the lint, or something that a build flag could not do."""

    text: str
    rule: str = ""
    line: int = 0


BuildEvent = Planned | StepStarted | StepStatus | StepLog | StepDone | Explained | Failed | Warned | ImageBuilt
Listener = Callable[[BuildEvent], None]
"""Receives events on the event loop's thread; must not block."""
