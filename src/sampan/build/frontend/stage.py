"""The state of one stage while its instructions are read."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...dockerfile.expand import expand
from ...dockerfile.parser import Instruction
from ...dockerfile.stages import Stage
from ...errors import InvalidArgument
from ...oci.config import ExecutionConfig, ImageConfig
from ...oci.platform import Platform
from ..graph import SCRATCH, Vertex
from ..progress import PlannedStep
from .request import PROXIES, Request, Step, Target

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUILT_IN = ("SOURCE_DATE_EPOCH",)


class StageState:
    """A stage's tree so far, its configuration, its variables."""

    def __init__(self, stage: Stage, request: Request, escape: str, position: str) -> None:
        self.stage = stage
        self.request = request
        self.escape = escape
        self.position = position
        """`2/5` style prefix is added by progress; this is the stage's shown name."""
        self.vertex: Vertex = SCRATCH
        self.base: ImageConfig | None = None
        self.platform: Platform = request.platform
        self.config = ExecutionConfig()
        self.author = ""
        self.steps: list[Step] = []
        self.planned: list[PlannedStep] = []
        self.declared: dict[str, None] = {}
        """Names of ARG, in order, whether they have a value or not."""
        self.arguments: dict[str, str] = {}
        """Build arguments in scope: declared by ARG in this stage."""
        self.shell_set = False
        self.command_set = False

    @property
    def ignore_cache(self) -> bool:
        """`--no-cache`, or `--no-cache-filter` names this stage."""
        return self.request.no_cache or self.stage.name in self.request.no_cache_stages

    def inherit(self, config: ImageConfig | None, platform: Platform) -> None:
        """Begin from a base image's configuration."""
        self.base = config
        self.platform = platform
        if config is not None and config.config is not None:
            self.config = msgspec.json.decode(msgspec.json.encode(config.config), type=ExecutionConfig)
            self.author = config.author
        self.config.on_build = None

    def continue_from(self, parent: StageState) -> None:
        """Begin where an earlier stage ended."""
        self.vertex = parent.vertex
        self.base, self.platform, self.author = parent.base, parent.platform, parent.author
        self.config = msgspec.json.decode(msgspec.json.encode(parent.config), type=ExecutionConfig)
        self.steps = list(parent.steps)
        self.arguments = dict(parent.arguments)
        self.declared = dict(parent.declared)

    def continue_from_target(self, target: Target) -> None:
        """Begin where the target of another build ends."""
        self.base, self.platform, self.author = target.base, target.platform, target.author
        self.config = msgspec.json.decode(msgspec.json.encode(target.config), type=ExecutionConfig)
        self.steps = list(target.steps)

    def environment(self) -> dict[str, str]:
        """ENV of the image so far."""
        parts = (pair.partition("=") for pair in self.config.env or [])
        return {name: value for name, _, value in parts}

    def variables(self) -> Mapping[str, str]:
        """What `$name` means here: ENV wins over ARG."""
        return {**self.arguments, **self.environment()}

    def expand(self, word: str, instruction: Instruction) -> str:
        """Replace variables in one word; errors name the instruction's line."""
        try:
            return expand(word, self.variables(), self.escape)
        except InvalidArgument as error:
            raise instruction.refusal(f'failed to process "{word}": {error}', word) from error

    def run_environment(self) -> list[str]:
        """What a RUN sees: ENV, build arguments in scope, proxies."""
        environment = self.environment()
        proxies = {name: value for name, value in self.request.arguments.items() if name in PROXIES}
        merged = {"PATH": DEFAULT_PATH, **proxies, **self.arguments, **environment}
        return [f"{name}={value}" for name, value in merged.items()]

    def shown_arguments(self) -> list[str]:
        """The `|2 A=1 B=2` of a RUN's history line."""
        return [f"{name}={self.arguments.get(name, '')}" for name in self.declared if name not in PROXIES]

    def declare(self, name: str, default: str | None, global_args: Mapping[str, str]) -> None:
        """ARG: the user's value, the default, or what the global scope has."""
        given = self.request.arguments.get(name)
        value = given if given is not None else default if default is not None else global_args.get(name)
        self.declared[name] = None
        if value is not None:
            self.arguments[name] = value

    def set_environment(self, name: str, value: str) -> None:
        """ENV keeps the order in which names first came."""
        pairs = self.config.env or []
        kept = [pair for pair in pairs if pair.partition("=")[0] != name]
        position = next((at for at, pair in enumerate(pairs) if pair.partition("=")[0] == name), len(kept))
        self.config.env = [*kept[:position], f"{name}={value}", *kept[position:]]

    def advance(self, vertex: Vertex, created_by: str) -> None:
        """A layer was made."""
        self.vertex = vertex
        self.steps.append(Step(created_by, vertex))

    def note(self, created_by: str) -> None:
        """The configuration changed; no layer."""
        self.steps.append(Step(created_by, None))

    def target(self) -> Target:
        """What the stage has become."""
        labels = dict(self.request.labels)
        if labels:
            self.config.labels = {**(self.config.labels or {}), **labels}
        return Target(
            vertex=self.vertex, base=self.base, platform=self.platform, config=self.config, steps=self.steps,
            author=self.author,
        )  # fmt: skip
