"""`build --check`: warnings under Docker's rule names (docs.docker.com/reference/build-checks).

Each rule is a generator over the whole file; `check` runs all but those that a `# check=skip=…` directive leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .expand import used_names
from .parser import Dockerfile, Instruction
from .stages import Plan, Stage, arg_pairs

PREDEFINED_ARGS = frozenset({
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "ftp_proxy",
    "no_proxy", "all_proxy", "SOURCE_DATE_EPOCH",
})  # fmt: skip
PLATFORM_ARGS = frozenset({
    "TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH",
    "BUILDVARIANT", "TARGETSTAGE",
})  # fmt: skip
_RESERVED_STAGE_NAMES = frozenset({"scratch", "context"})
_SECRET = re.compile(r"(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.I)
_NOT_SECRET = re.compile(r"(?:^|_)public(?:_|$)", re.I)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `line` counts from 1."""

    rule: str
    message: str
    line: int


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule looks at."""

    dockerfile: Dockerfile
    plan: Plan


Rule = Callable[[Subject], Iterator[Finding]]


def check(dockerfile: Dockerfile, plan: Plan) -> list[Finding]:
    """All findings in the order of their lines."""
    skipped = _skipped(dockerfile.directives.get("check", ""))
    if "all" in skipped:
        return []
    subject = Subject(dockerfile, plan)
    found = [warning for rule in RULES for warning in rule(subject) if warning.rule.lower() not in skipped]
    return sorted(found, key=lambda warning: warning.line)


def is_error(dockerfile: Dockerfile) -> bool:
    """Whether `# check=error=true` turns findings into a failure."""
    return "error=true" in dockerfile.directives.get("check", "").replace(" ", "")


def _skipped(directive: str) -> set[str]:
    for part in directive.split(";"):
        key, _, value = part.strip().partition("=")
        if key == "skip":
            return {name.strip().lower() for name in value.split(",")}
    return set()


def _all(subject: Subject, *names: str) -> Iterator[Instruction]:
    return (one for one in subject.dockerfile.instructions if one.name in names)


def _stage_name_casing(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "FROM"):
        name = instruction.arguments[2] if len(instruction.arguments) == 3 else ""
        if name != name.lower():
            yield Finding("StageNameCasing", f"Stage name '{name}' should be lowercase", instruction.line.first)


def _from_as_casing(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "FROM"):
        if len(instruction.arguments) == 3:
            word, as_word = instruction.original.split(None, 1)[0], instruction.arguments[1]
            if word.isupper() != as_word.isupper():
                text = f"'{as_word}' and '{word}' keywords' casing do not match"
                yield Finding("FromAsCasing", text, instruction.line.first)


def _consistent_casing(subject: Subject) -> Iterator[Finding]:
    words = [(one, one.original.split(None, 1)[0]) for one in subject.dockerfile.instructions]
    upper = sum(word.isupper() for _, word in words)
    lower = sum(word.islower() for _, word in words)
    majority = "uppercase" if upper >= lower else "lowercase"
    for instruction, word in words:
        fits = word.isupper() if majority == "uppercase" else word.islower()
        if not fits:
            text = f"Command '{word}' should match the case of the command majority ({majority})"
            yield Finding("ConsistentInstructionCasing", text, instruction.line.first)


def _duplicate_stage(subject: Subject) -> Iterator[Finding]:
    seen: set[str] = set()
    for stage in subject.plan.stages:
        if stage.name and stage.name in seen:
            text = f'Duplicate stage name "{stage.name}", stage names should be unique'
            yield Finding("DuplicateStageName", text, stage.origin.line.first)
        seen.add(stage.name)


def _reserved_stage(subject: Subject) -> Iterator[Finding]:
    for stage in subject.plan.stages:
        if stage.name in _RESERVED_STAGE_NAMES:
            text = f'Stage name should not use the same name as reserved stage "{stage.name}"'
            yield Finding("ReservedStageName", text, stage.origin.line.first)


def _json_recommended(subject: Subject) -> Iterator[Finding]:
    for stage in subject.plan.stages:
        if any(one.name == "SHELL" for one in stage.instructions):
            continue
        for instruction in stage.instructions:
            if instruction.name in ("CMD", "ENTRYPOINT") and not instruction.exec_form:
                purpose = "to prevent unintended behavior related to OS signals"
                text = f"JSON arguments recommended for {instruction.name} {purpose}"
                yield Finding("JSONArgsRecommended", text, instruction.line.first)


def _maintainer(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "MAINTAINER"):
        text = "Maintainer instruction is deprecated in favor of using label"
        yield Finding("MaintainerDeprecated", text, instruction.line.first)


def _legacy_pairs(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "ENV", "LABEL"):
        rest = instruction.original.split(None, 1)[1] if " " in instruction.original else ""
        if rest and "=" not in rest.split(None, 1)[0]:
            text = (
                f'"{instruction.name} key=value" should be used instead of legacy "{instruction.name} key value" format'
            )
            yield Finding("LegacyKeyValueFormat", text, instruction.line.first)


def _multiple(subject: Subject) -> Iterator[Finding]:
    for stage in subject.plan.stages:
        for name in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
            same = [one for one in stage.instructions if one.name == name]
            for instruction in same[:-1]:
                text = (
                    f"Multiple {name} instructions should not be used in the same stage because only the last one "
                    "will be used"
                )
                yield Finding("MultipleInstructionsDisallowed", text, instruction.line.first)


def _relative_workdir(subject: Subject) -> Iterator[Finding]:
    for stage in subject.plan.stages:
        absolute = stage.parent is not None
        for instruction in stage.instructions:
            if instruction.name != "WORKDIR":
                continue
            path = instruction.arguments[0]
            if not path.startswith(("/", "$")) and not absolute:
                text = (
                    f'Relative workdir "{path}" can have unexpected results if the base image has a WORKDIR that '
                    "changes"
                )
                yield Finding("WorkdirRelativePath", text, instruction.line.first)
            absolute = True


def _secrets(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "ARG", "ENV"):
        if instruction.name == "ARG":
            names = [name for name, _ in arg_pairs(instruction)]
        else:
            names = list(instruction.arguments[::2])
        for name in names:
            if _SECRET.search(name) and not _NOT_SECRET.search(name):
                text = f'Do not use ARG or ENV instructions for sensitive data ({instruction.name} "{name}")'
                yield Finding("SecretsUsedInArgOrEnv", text, instruction.line.first)


def _undefined_from(subject: Subject) -> Iterator[Finding]:
    known = set(subject.plan.global_args) | PREDEFINED_ARGS | PLATFORM_ARGS
    for instruction in _all(subject, "FROM"):
        for name in sorted(used_names(instruction.arguments[0], subject.dockerfile.escape) - known):
            text = f"FROM argument '{name}' is not declared"
            yield Finding("UndefinedArgInFrom", text, instruction.line.first)


def _empty_from(subject: Subject) -> Iterator[Finding]:
    defaults = {name for one in _before_from(subject) for name, value in arg_pairs(one) if not value}
    for instruction in _all(subject, "FROM"):
        word = instruction.arguments[0]
        if any(word in (f"${name}", f"${{{name}}}") for name in defaults):
            text = f"Default value for ARG {word} results in empty or invalid base image name"
            yield Finding("InvalidDefaultArgInFrom", text, instruction.line.first)


def _before_from(subject: Subject) -> list[Instruction]:
    found = []
    for instruction in subject.dockerfile.instructions:
        if instruction.name == "FROM":
            break
        found.append(instruction)
    return found


def _undefined_variables(subject: Subject) -> Iterator[Finding]:
    for stage in subject.plan.stages:
        if stage.parent is not None or stage.base != "scratch":
            continue  # the base image may set any name
        yield from _undefined_in(stage, subject)


def _undefined_in(stage: Stage, subject: Subject) -> Iterator[Finding]:
    known = set(PREDEFINED_ARGS) | {"PATH"}
    for instruction in stage.instructions:
        if instruction.name in ("COPY", "ADD", "USER", "WORKDIR", "EXPOSE", "LABEL", "ENV", "VOLUME", "STOPSIGNAL"):
            for name in sorted(used_names(" ".join(instruction.arguments), subject.dockerfile.escape) - known):
                text = f"Usage of undefined variable '${name}'"
                yield Finding("UndefinedVar", text, instruction.line.first)
        if instruction.name == "ARG":
            known |= {name for name, _ in arg_pairs(instruction)}
        elif instruction.name == "ENV":
            known |= set(instruction.arguments[::2])


def _expose_format(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "EXPOSE"):
        for port in instruction.arguments:
            number, _, protocol = port.partition("/")
            if ":" in number:
                text = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                yield Finding("ExposeInvalidFormat", text, instruction.line.first)
            elif protocol != protocol.lower():
                text = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                yield Finding("ExposeProtoCasing", text, instruction.line.first)


def _redundant_platform(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "FROM"):
        for flag in instruction.flags:
            if flag.name == "platform" and flag.value in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
                text = (
                    f"Setting platform to predefined {flag.value} in FROM is redundant as this is the default behavior"
                )
                yield Finding("RedundantTargetPlatform", text, instruction.line.first)


def _constant_platform(subject: Subject) -> Iterator[Finding]:
    for stage in subject.plan.stages:
        flags = {flag.name: flag.value or "" for flag in stage.origin.flags}
        platform = flags.get("platform", "")
        if platform and "$" not in platform and not stage.name:
            text = f'FROM --platform flag should not use constant value "{platform}"'
            yield Finding("FromPlatformFlagConstDisallowed", text, stage.origin.line.first)


def _continuation_gaps(subject: Subject) -> Iterator[Finding]:
    """Empty lines inside a continued instruction are found by the reader's own line counts."""
    for instruction in subject.dockerfile.instructions:
        if instruction.line.empty_at:
            yield Finding("NoEmptyContinuation", "Empty continuation line", instruction.line.empty_at)


RULES: tuple[Rule, ...] = (
    _stage_name_casing, _from_as_casing, _continuation_gaps, _consistent_casing, _duplicate_stage, _reserved_stage,
    _json_recommended, _maintainer, _undefined_from, _relative_workdir, _undefined_variables, _multiple, _legacy_pairs,
    _redundant_platform, _secrets, _empty_from, _constant_platform, _expose_format,
)  # fmt: skip
