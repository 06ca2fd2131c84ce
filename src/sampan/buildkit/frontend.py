"""The Dockerfile front end for BuildKit's clients: from attributes and what their sessions hold to what is to be built.

attributes ─▶ Dockerfile, .dockerignore ─▶ stages ─▶ graph, with contexts that are fetched when a step needs them
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from ..build.bases import pull_step
from ..build.builder import MAIN, BuildRequest, LateRules, builder_of, contexts_of
from ..build.cacheimport import CacheSource
from ..build.context import drop_ignored, ignore_rules, opened, received
from ..build.filetree import FileTree
from ..build.frontend.files import is_git
from ..build.frontend.including import SYNTAX
from ..build.frontend.request import ResolvedImage, Resolver, Target
from ..build.graph import Vertex
from ..build.image import configuration
from ..build.layering import source_tree
from ..build.remote import KEEP_GIT_DIR, fetched
from ..build.result import EMPTY
from ..build.session import ENTITLEMENTS, Arriving, Context
from ..build.sources import SourceTree, read_text
from ..dockerfile.ignore import IgnoreRules, read_patterns
from ..dockerfile.parser import parse
from ..errors import InvalidArgument, NotImplementedHere, SampanError
from ..oci import config as configs
from ..oci import reference
from ..oci.platform import Platform
from .agents import agents
from .attrs import Attributes, cache_sources, cache_targets
from .credentials import secrets
from .failing import failure
from .filesync import Local
from .inputs import Given, wanted_paths
from .llb import given_tree
from .proto.ops_pb2 import Definition, SourceInfo
from .results import results_of
from .solves import Outcome, Ref, Solve
from .status import Step
from .subrequests import LINT, answer
from .transfers import fetch, once
from .upload import pull

NAME: Final = "dockerfile.v0"
_UPLOADED: Final = "http://buildkit-session/"
_GIT_TOKENS: Final = ("GIT_AUTH_TOKEN", "GIT_AUTH_HEADER")


@dataclass(frozen=True)
class _Main:
    """The build's own context and Dockerfile; `ignored` gives what the ignore file leaves out."""

    context: Context | Vertex
    dockerfile: str
    ignored: LateRules


async def front_end(solve: Solve, name: str, attributes: Attributes, inputs: Mapping[str, Definition]) -> Outcome:
    """What is to be built, or the answer to a question about it; raises GRPCError."""
    if name != NAME:
        raise NotImplementedHere(f"frontend {name} is not supported: this engine has {NAME} alone")
    try:
        attributes.check()
        return await _Frontend(solve, attributes, inputs).run()
    except SampanError as error:
        raise failure(error, solve.progress) from error


class _Frontend:
    def __init__(self, solve: Solve, attributes: Attributes, inputs: Mapping[str, Definition]) -> None:
        self._solve = solve
        self._attributes = attributes
        self._inputs = inputs
        self._targets: list[Target] = []
        self._scope = f"{solve.request.Ref}:"
        self._given: dict[str, Context] = {}
        """Contexts of graphs that are inputs."""

    async def run(self) -> Outcome:
        main = await self._main()
        request = await self._request(main)
        if asked := self._attributes.text("requestid"):
            rules = await main.ignored() if asked == LINT else None
            return Outcome(metadata=answer(self._solve, asked, replace(request, ignored=rules)))
        self._targets = await builder_of(self._solve.engine).plan(
            request, self._solve.progress, self._around, main.ignored
        )
        contexts = {**request.sources, **contexts_of(request)}
        refs = [self._solve.keep(target, request, contexts) for target in self._targets]
        return _outcome(refs, several=self._attributes.several)

    async def _main(self) -> _Main:
        if self._attributes.text("contextkey", "context") in self._inputs:
            return await self._input()
        where = self._attributes.text("context")
        return await (self._remote(where) if where else self._local())

    async def _input(self) -> _Main:
        """A context that a graph gives, which is built for its Dockerfile at once."""
        key = self._attributes.text("contextkey", "context")
        found = await given_tree(self._solve, self._inputs[key])
        self._given |= found.contexts
        ref = self._solve.keep(found.target, BuildRequest(dockerfile=""), found.contexts)
        (result,) = await results_of(self._solve, [ref], self._solve.stack)
        async with source_tree(self._solve.engine, result) as tree:
            name = self._attributes.filename
            own = "dockerfilekey" in self._attributes.values
            text = (await self._dockerfile())[0] if own else self._text(tree, name)
            return _Main(found.target.vertex, text, _known(ignore_rules(tree, name)))
        raise AssertionError("not reached")

    async def _local(self) -> _Main:
        """A context and a Dockerfile that the client sends."""
        dockerfile, patterns = await self._dockerfile()
        name = self._attributes.text("contextkey", "context")

        async def load() -> list[str] | None:
            if patterns is not None:
                return patterns
            with self._solve.progress.step("[internal] load .dockerignore") as step:
                return await self._ignored(name, step)

        ignored = once(load)

        async def rules() -> IgnoreRules | None:
            found = await ignored()
            return IgnoreRules(found) if found is not None else None

        context = self._arriving(MAIN, name, ignored)
        if SYNTAX in dockerfile.partition("\n")[0]:  # INCLUDE reads the context while the file is being read
            return _Main(await context.receive(), dockerfile, rules)
        return _Main(context, dockerfile, rules)

    async def _dockerfile(self) -> tuple[str, list[str] | None]:
        """The text, and the patterns of an ignore file that is the Dockerfile's own."""
        name, progress = self._attributes.filename, self._solve.progress
        other = "dockerfile" if name == "Dockerfile" else name
        with progress.step(f"[internal] load build definition from {name}") as step:
            progress.definition = step.vertex.digest
            local = Local(
                self._attributes.text("dockerfilekey", "dockerfile"), follow=(name, f"{name}.dockerignore", other)
            )
            tree = await self._fetch(local, step, "dockerfile")
        patterns = read_text(tree, f"{name}.dockerignore")
        return self._text(tree, name, other), read_patterns(patterns) if patterns is not None else None

    def _text(self, tree: SourceTree, *names: str) -> str:
        """The Dockerfile's text, under the first name that is there."""
        text = next((found for name in names if (found := read_text(tree, name)) is not None), None)
        if text is None:
            raise InvalidArgument(f"failed to read dockerfile: open {names[0]}: no such file or directory")
        self._solve.progress.source = SourceInfo(
            filename=names[0], data=text.encode("utf-8", "surrogateescape"), language="Dockerfile"
        )
        return text

    async def _ignored(self, name: str, step: Step) -> list[str] | None:
        """The patterns of a context's ignore file."""
        tree = await self._fetch(Local(name, follow=(".dockerignore",)), step)
        text = read_text(tree, ".dockerignore")
        return read_patterns(text) if text is not None else None

    async def _fetch(self, local: Local, step: Step, what: str = "") -> FileTree:
        session = await self._solve.session(self._attributes.text(f"local-sessionid:{local.name}"))
        return await fetch(self._solve, session, local, step, what)

    def _arriving(self, name: str, local: str, ignored: Callable[[], Awaitable[list[str] | None]]) -> Arriving:
        """A client's directory, of which no more is sent than the steps read; `name` is that of its vertex."""

        async def receive() -> FileTree:
            step = self._solve.progress.context_step(self._scope + name)
            wanted = Local(local, exclude=await ignored() or (), follow=wanted_paths(self._targets, self._scope + name))
            return await self._fetch(wanted, step)

        return Arriving(once(receive))

    def _named_directory(self, name: str, local: str) -> Arriving:
        """A further directory of the client's, with an ignore file of its own."""

        async def load() -> list[str] | None:
            with self._solve.progress.step(f"[context {name}] load .dockerignore") as step:
                return await self._ignored(local, step)

        return self._arriving(name, local, once(load))

    async def _remote(self, where: str) -> _Main:
        """A context that the daemon fetches, or an archive that the client uploads."""
        git = is_git(where)
        name = f"[internal] load git source {where}" if git else "[internal] load remote build context"
        with self._solve.progress.step(name):
            if where.startswith(_UPLOADED):
                chunks = pull(await self._solve.session(), where)
                context: str | FileTree = await self._solve.stack.enter_async_context(
                    received(self._solve.engine, chunks)
                )
                dockerfile = ""
            else:
                context, dockerfile = await self._fetched(where)
        if "dockerfilekey" in self._attributes.values:
            dockerfile, _ = await self._dockerfile()
        with opened(context) as tree:
            return self._described(context, tree, dockerfile)

    def _described(self, context: str | FileTree, tree: SourceTree, dockerfile: str) -> _Main:
        name = self._attributes.filename
        text = dockerfile or self._text(tree, name)
        rules = ignore_rules(tree, name)
        if rules is not None:
            drop_ignored(tree, name, rules)
        return _Main(context, text, _known(rules))

    async def _fetched(self, where: str) -> tuple[str | FileTree, str]:
        session, engine, stack = await self._solve.session(), self._solve.engine, self._solve.stack
        keep = self._attributes.flag(f"build-arg:{KEEP_GIT_DIR}")
        tokens = await secrets(session, _GIT_TOKENS)
        lent = await agents(engine, session, ("default",), stack)
        remote = await stack.enter_async_context(fetched(engine, where, tokens, lent, keep_git_dir=keep))
        return remote.context, remote.dockerfile

    async def _contexts(self) -> tuple[dict[str, Context], dict[str, Target]]:
        """Named contexts, and what other builds give."""
        contexts: dict[str, Context] = {}
        targets: dict[str, Target] = {}
        for name, where in self._attributes.named("context").items():
            kind, _, rest = where.partition(":")
            if kind == "local":
                contexts[name] = self._named_directory(name, rest)
            elif kind == "input":
                found = await self._taken(rest)
                targets[name] = found.target
                self._given |= found.contexts
            elif kind == "docker-image" or is_git(where):
                contexts[name] = where
            else:
                raise InvalidArgument(f"unsupported context source {kind} for {name}")
        return contexts, targets

    async def _taken(self, key: str) -> Given:
        """An input, with the configuration that comes along: JSON with base64 in it."""
        if key not in self._inputs:
            raise InvalidArgument(f"invalid input {key}: no such frontend input")
        text = self._attributes.text(f"input-metadata:{key}", "{}")
        try:
            metadata = msgspec.json.decode(text, type=dict[str, bytes])
        except msgspec.MsgspecError as error:
            raise InvalidArgument(f"invalid metadata of input {key}: {error}") from None
        return await given_tree(self._solve, self._inputs[key], metadata.get("containerimage.config", b""))

    async def _request(self, main: _Main) -> BuildRequest:
        attributes, asked = self._attributes, self._solve.request
        contexts, targets = await self._contexts()
        return BuildRequest(
            dockerfile=main.dockerfile, dockerfile_name=attributes.filename, context=main.context,
            arguments=attributes.named("build-arg"), target=attributes.text("target"),
            platforms=attributes.platforms, listed=False, labels=attributes.named("label"),
            no_cache=attributes.no_cache, no_cache_stages=attributes.no_cache_stages,
            pull=attributes.text("image-resolve-mode") == "pull", network=attributes.network, contexts=contexts,
            targets=targets, scope=self._scope, sources=self._given,
            limits=attributes.limits, entitlements=ENTITLEMENTS | frozenset(asked.Entitlements),
            auth=self._solve.credentials, cache_from=self._cache_sources(),
            cache_to=cache_targets(asked.Cache.Exports), form=attributes.form,
        )  # fmt: skip

    def _cache_sources(self) -> list[CacheSource]:
        """Clients tell them the front end, the daemon, or both."""
        asked = cache_sources((one.Type, dict(one.Attrs)) for one in self._solve.request.Cache.Imports)
        return list(dict.fromkeys([*self._attributes.cache_sources(), *asked]))

    def _around(self, resolve: Resolver) -> Resolver:
        """Show the look-up of an image as a step."""

        async def shown(name: str, platform: Platform) -> ResolvedImage:
            full, progress = reference.parse(name).with_default_tag(), self._solve.progress
            try:
                with progress.step(f"[internal] load metadata for {full}") as step:
                    progress.join(pull_step(name, platform), step)
                    return await resolve(name, platform)
            except SampanError as error:
                progress.failed_line = self._line_of(name)
                raise SampanError(f"{name}: failed to resolve source metadata for {full}: {error}") from error

        return shown

    def _line_of(self, image: str) -> int:
        """Where an image is named; 0 where that is said with variables."""
        text = self._solve.progress.source.data.decode("utf-8", "surrogateescape")
        return next((one.line.first for one in parse(text).instructions if image in one.arguments), 0)


def _known(rules: IgnoreRules | None) -> LateRules:
    async def known() -> IgnoreRules | None:
        return rules

    return known


def _outcome(refs: Sequence[Ref], *, several: bool) -> Outcome:
    names = [str(ref.target.platform) for ref in refs]
    metadata = {"refs.platforms": msgspec.json.encode({"Platforms": [_platform(ref.target.platform) for ref in refs]})}
    for name, ref in zip(names, refs, strict=True):
        key = f"containerimage.config/{name}" if several else "containerimage.config"
        metadata[key] = configs.encode(configuration(ref.target, EMPTY, None))
    return Outcome(dict(zip(names, refs, strict=True)) if several else {"": refs[0]}, metadata)


def _platform(platform: Platform) -> dict[str, object]:
    described = {"architecture": platform.architecture, "os": platform.os, "variant": platform.variant}
    return {"ID": str(platform), "Platform": {name: value for name, value in described.items() if value}}
