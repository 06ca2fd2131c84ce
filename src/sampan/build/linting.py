"""The lint of a build: the Dockerfile's rules with what this engine knows of base images and of the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..dockerfile import lint
from ..dockerfile.stages import Stage
from ..errors import InvalidArgument, NotFound
from .frontend.dockerfile import Parsed, platform_arguments, unused_arguments
from .frontend.request import Request
from .progress import Warned
from .session import Session

if TYPE_CHECKING:
    from .builder import BuildRequest


def warn(parsed: Parsed, asked: Request, request: BuildRequest, session: Session) -> list[str]:
    """Tell all findings; the names of the broken rules where the file wants that to be a mistake."""

    def variables(stage: Stage) -> Sequence[str] | None:
        return _variables(session, asked, stage)

    options = lint.options_of(parsed.dockerfile, request.arguments)
    ignored = request.ignored.matches if request.ignored is not None else lambda path: False
    around = lint.Surroundings(platform_arguments(asked), variables, ignored)
    findings = lint.check(parsed.dockerfile, parsed.plan, options, around)
    for finding in findings:
        session.tell(Warned(text=finding.message, rule=finding.rule, line=finding.line))
    unused = unused_arguments(parsed, request.arguments)
    if unused:
        session.tell(Warned(text=f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed"))
    return sorted({finding.rule for finding in findings}) if options.error else []


def refuse(rules: list[str]) -> None:
    """InvalidArgument where rules are broken that must not be."""
    if rules:
        raise InvalidArgument("lint violation found for rules: " + ", ".join(rules))


def _variables(session: Session, asked: Request, stage: Stage) -> list[str] | None:
    """What a base image's ENV sets, where the image is here: a lint pulls nothing."""
    if asked.context_key(stage.base):
        return None
    try:
        config = session.engine.images.get(stage.base).config.config
    except (NotFound, InvalidArgument):
        return None
    return [pair.partition("=")[0] for pair in (config.env if config else None) or []]
