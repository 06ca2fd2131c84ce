"""`build --check`: warnings under Docker's rule names (docs.docker.com/reference/build-checks).

Each rule is a generator over the whole file; `check` runs all but those that a `# check=skip=…` directive leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from ..errors import InvalidArgument
from ..oci import reference
from .expand import expand, used_names
from .parser import Dockerfile, Instruction
from .spelling import nearest
from .stages import Plan, Stage, arg_pairs

PREDEFINED_ARGS = frozenset({
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "ftp_proxy",
    "no_proxy", "all_proxy", "SOURCE_DATE_EPOCH",
})  # fmt: skip
PLATFORM_ARGS = frozenset({
    "TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH",
    "BUILDVARIANT", "TARGETSTAGE",
})  # fmt: skip
EXPERIMENTAL = frozenset({"CopyIgnoredFile", "InvalidDefinitionDescription"})
"""Rules that run only where they are asked for."""
CHECK_ARG = "BUILDKIT_DOCKERFILE_CHECK"
_RESERVED_STAGE_NAMES = frozenset({"scratch", "context"})
_SECRET = re.compile(r"(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.I)
_NOT_SECRET = re.compile(r"(?:^|_)public(?:_|$)", re.I)


class Finding(Struct, frozen=True):
    """One finding; `line` counts from 1."""

    rule: str
    message: str
    line: int


class Surroundings(Struct, frozen=True):
    """What a rule wants to know beside the file; what is not known, no rule complains of.

    `platform_args` are the values of the predefined ARGs, `variables` gives the names that a base image's ENV sets
    (None where the image is not here), `ignored` whether the ignore file leaves a path out.
    """

    platform_args: Mapping[str, str] = field(default_factory=dict)
    variables: Callable[[Stage], Sequence[str] | None] = lambda stage: None
    ignored: Callable[[str], bool] = lambda path: False


class Subject(Struct, frozen=True):
    """What a rule looks at."""

    dockerfile: Dockerfile
    plan: Plan
    around: Surroundings


class Options(Struct, frozen=True):
    """`# check=skip=A,B;experimental=all;error=true`, or the same text as build argument `CHECK_ARG`."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def wants(self, rule: str) -> bool:
        """Whether a finding under that name is told."""
        name = rule.lower()
        if rule in EXPERIMENTAL and not self.experimental & {name, "all"}:
            return False
        return not self.skip & {name, "all"}


Rule = Callable[[Subject], Iterator[Finding]]


def check(
    dockerfile: Dockerfile, plan: Plan, options: Options | None = None, around: Surroundings | None = None
) -> list[Finding]:
    """All findings in the order of their lines."""
    wanted = options if options is not None else options_of(dockerfile)
    subject = Subject(dockerfile, plan, around or Surroundings())
    found = [finding for rule in RULES for finding in rule(subject) if wanted.wants(finding.rule)]
    return sorted(found, key=lambda finding: finding.line)


def options_of(dockerfile: Dockerfile, arguments: Mapping[str, str] | None = None) -> Options:
    """The directive's options; those of the build argument win over it."""
    given: dict[str, str] = {}
    for text in (dockerfile.directives.get("check", ""), (arguments or {}).get(CHECK_ARG, "")):
        given |= {key.strip(): value for key, _, value in (part.partition("=") for part in text.split(";"))}
    return Options(
        _names(given.get("skip", "")), _names(given.get("experimental", "")), _is_true(given.get("error", ""))
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "t")


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


def _stages_since(subject: Subject, name: str) -> Iterator[tuple[Stage, Instruction, bool]]:
    """Every instruction of every stage, and whether one called `name` came before it, in the stages below it too."""
    seen: dict[int, bool] = {}
    for stage in subject.plan.stages:
        came = stage.parent is not None and seen[stage.parent.index]
        for instruction in stage.instructions:
            yield stage, instruction, came
            came = came or instruction.name == name
        seen[stage.index] = came


def _json_recommended(subject: Subject) -> Iterator[Finding]:
    for _, instruction, has_shell in _stages_since(subject, "SHELL"):
        if instruction.name in ("CMD", "ENTRYPOINT") and not instruction.exec_form and not has_shell:
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
    for _, instruction, is_set in _stages_since(subject, "WORKDIR"):
        if instruction.name == "WORKDIR" and not is_set and not instruction.arguments[0].startswith(("/", "$")):
            path = instruction.arguments[0]
            text = f'Relative workdir "{path}" can have unexpected results if the base image changes'
            yield Finding("WorkdirRelativePath", text, instruction.line.first)


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
    declared = [name for one in _before_from(subject) if one.name == "ARG" for name, _ in arg_pairs(one)]
    known = [*declared, *sorted(PREDEFINED_ARGS | PLATFORM_ARGS)]
    for instruction in _all(subject, "FROM"):
        words = [instruction.arguments[0], *(flag.value or "" for flag in instruction.flags)]
        for name in sorted(_used(words, subject) - set(known)):
            hint = nearest(name, known)
            text = f"FROM argument '{name}' is not declared" + (f" (did you mean {hint}?)" if hint else "")
            yield Finding("UndefinedArgInFrom", text, instruction.line.first)


def _used(words: Sequence[str], subject: Subject) -> set[str]:
    """The variables of some words; none where they cannot be read, which is the front end's to refuse."""
    try:
        return used_names(" ".join(words), subject.dockerfile.escape)
    except InvalidArgument:
        return set()


def _empty_from(subject: Subject) -> Iterator[Finding]:
    """Names that are no image references unless the user gives a build argument."""
    defaults = dict(subject.around.platform_args)
    for one in _before_from(subject):
        if one.name == "ARG":
            for name, default in arg_pairs(one):
                defaults[name] = _expanded(default or "", defaults, subject)
    for instruction in _all(subject, "FROM"):
        word = instruction.arguments[0]
        if word != "scratch" and not _is_reference(_expanded(word, defaults, subject)):
            text = f"Default value for ARG {word} results in empty or invalid base image name"
            yield Finding("InvalidDefaultArgInFrom", text, instruction.line.first)


def _expanded(word: str, scope: Mapping[str, str], subject: Subject) -> str:
    try:
        return expand(word, scope, subject.dockerfile.escape)
    except InvalidArgument:
        return ""


def _is_reference(name: str) -> bool:
    try:
        reference.parse(name)
    except InvalidArgument:
        return False
    return True


def _before_from(subject: Subject) -> list[Instruction]:
    found = []
    for instruction in subject.dockerfile.instructions:
        if instruction.name == "FROM":
            break
        found.append(instruction)
    return found


def _undefined_variables(subject: Subject) -> Iterator[Finding]:
    variables: dict[int, list[str] | None] = {}
    for stage in subject.plan.stages:
        names = variables[stage.parent.index] if stage.parent is not None else _base_variables(stage, subject)
        known = variables[stage.index] = None if names is None else list(names)
        if known is not None:
            yield from _undefined_in(stage, known, subject)


def _base_variables(stage: Stage, subject: Subject) -> list[str] | None:
    if stage.base == "scratch":
        return ["PATH"]
    found = subject.around.variables(stage)
    return None if found is None else list(dict.fromkeys(["PATH", *found]))


def _undefined_in(stage: Stage, known: list[str], subject: Subject) -> Iterator[Finding]:
    """Adds to `known` what the stage's ENV and ARG define."""
    declared: set[str] = set()
    for instruction in stage.instructions:
        if instruction.name in _EXPANDED:
            words = [*instruction.arguments, *(flag.value or "" for flag in instruction.flags)]
            for name in sorted(_used(words, subject) - declared - set(known)):
                hint = nearest(name, known)
                text = f"Usage of undefined variable '${name}'" + (f" (did you mean ${hint}?)" if hint else "")
                yield Finding("UndefinedVar", text, instruction.line.first)
        if instruction.name == "ARG":
            declared |= {name for name, _ in arg_pairs(instruction)}
        elif instruction.name == "ENV":
            known += [name for name in instruction.arguments[::2] if name not in known]


_EXPANDED = frozenset({"ADD", "ARG", "COPY", "ENV", "LABEL", "USER", "VOLUME", "WORKDIR"})
"""Instructions in whose words the builder replaces variables, and complains of those that are nowhere set."""


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
    """A stage whose name says for which platform it is may."""
    for stage in subject.plan.stages:
        flags = {flag.name: flag.value or "" for flag in stage.origin.flags}
        platform = flags.get("platform", "")
        is_named = any(part in stage.name for part in platform.split("/")[:2])
        if platform and "$" not in platform and not is_named:
            text = f'FROM --platform flag should not use constant value "{platform}"'
            yield Finding("FromPlatformFlagConstDisallowed", text, stage.origin.line.first)


def _copy_ignored(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject, "COPY", "ADD"):
        if any(flag.name == "from" for flag in instruction.flags):
            continue
        for source in instruction.arguments[:-1]:
            if not source.startswith("<<") and "$" not in source and subject.around.ignored(source.lstrip("/")):
                text = f'Attempting to {instruction.name.title()} file "{source}" that is excluded by .dockerignore'
                yield Finding("CopyIgnoredFile", text, instruction.line.first)


def _descriptions(subject: Subject) -> Iterator[Finding]:
    """A comment right above ARG or a named FROM is shown as its description (`build --call=outline`)."""
    for instruction in _all(subject, "ARG", "FROM"):
        names = [name for name, _ in arg_pairs(instruction)] if instruction.name == "ARG" else instruction.arguments[2:]
        comment = instruction.line.comment
        if comment and names and comment.split(" ")[0] not in names:
            name = names[0] if len(names) == 1 else "<arg_key>"
            text = f"Comment for {instruction.name} should follow the format: `# {name} <description>`"
            yield Finding("InvalidDefinitionDescription", text, instruction.line.first)


def _continuation_gaps(subject: Subject) -> Iterator[Finding]:
    """At the last line of the instruction, where BuildKit shows it."""
    for instruction in subject.dockerfile.instructions:
        if instruction.line.has_gap:
            yield Finding("NoEmptyContinuation", "Empty continuation line", instruction.line.last)


RULES: tuple[Rule, ...] = (
    _stage_name_casing, _from_as_casing, _continuation_gaps, _consistent_casing, _duplicate_stage, _reserved_stage,
    _json_recommended, _maintainer, _undefined_from, _relative_workdir, _undefined_variables, _multiple, _legacy_pairs,
    _redundant_platform, _secrets, _empty_from, _constant_platform, _expose_format, _copy_ignored,
    _descriptions,
)  # fmt: skip
