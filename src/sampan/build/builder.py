"""The builder of one engine: from a Dockerfile and its context to an image."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary, ref

from ..dockerfile.errors import DockerfileError, excerpt
from ..dockerfile.ignore import IgnoreRules
from ..engine import foreign
from ..engine.engine import Engine
from ..engine.images import set_tag
from ..errors import Conflict, InvalidArgument, SampanError
from ..image.layers import Layer
from ..model.container import HostConfig
from ..oci import platform as platforms
from ..oci import reference
from ..oci.config import ExecutionConfig, ImageConfig
from ..oci.platform import Platform
from ..oci.reference import Reference
from ..registry.config import AuthFor, no_credentials
from . import contextstore, sourcecache
from .bases import Bases
from .cache import BuildCache, Record
from .cacheconfig import inline
from .cacheexport import CacheTarget, export
from .cacheimport import CacheSource, Imports
from .context import opened, read_dockerfile
from .contextstore import ContextStore
from .copying import copy_files, merge
from .execution import execute
from .fetching import fetch_file, fetch_repository
from .filetree import DamagedContext, FileTree
from .frontend.dockerfile import Parsed, convert, read
from .frontend.files import git_source, is_git
from .frontend.request import PROXIES, Request, Resolver, Step, Target
from .graph import Exec, Files, GitSource, HttpSource, ImageSource, LocalSource, Merge, Vertex, walk
from .handover import Handovers
from .imageform import ImageForm, Provenance
from .linting import refuse, warn
from .progress import Failed, Listener, Planned, Warned
from .provenance import Facts
from .result import Result
from .session import ENTITLEMENTS, Arriving, Context, Session
from .solver import Numbers, Solver
from .sourcecache import sources_of
from .storing import Built, Order, check_form, document, formed, stated_of, store

LateRules = Callable[[], Awaitable[IgnoreRules | None]]
MAIN = "context"
"""The name of a build's main context."""


@dataclass(frozen=True)
class BuildRequest:
    """What `docker build` can say. `context` is a directory, what comes from a client or what a graph gives, empty
    where none is needed.

    `contexts` maps names of `--build-context` to such, or to image references (`docker-image://…`) and repositories;
    `targets` maps further ones to what other builds give; `NAME::PLATFORM` is for one platform alone.
    """

    dockerfile: str
    dockerfile_name: str = "Dockerfile"
    context: Context | Vertex = ""
    tags: Sequence[str] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platforms: Sequence[Platform] = ()
    """None for this machine's; an image of several comes with an index."""
    squash: bool = False
    listed: bool = True
    """Whether the engine lists the image; else it is there only for as long as the caller of `build` holds it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    pull: bool = False
    network: str = "default"
    contexts: Mapping[str, Context] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    scope: str = ""
    """Stands before the names that contexts have in the graph, where graphs of several builds meet."""
    sources: Mapping[str, Context] = field(default_factory=dict)
    """Contexts of graphs that come from elsewhere, by the names that they have there."""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, str] = field(default_factory=dict)
    limits: HostConfig = field(default_factory=HostConfig)
    entitlements: frozenset[str] = ENTITLEMENTS
    explain: bool = False
    ignored: IgnoreRules | None = None
    """What the context's ignore file leaves out, for the lint."""
    auth: AuthFor = no_credentials
    cache_from: Sequence[CacheSource] = ()
    cache_to: Sequence[CacheTarget] = ()
    form: ImageForm = field(default_factory=ImageForm)
    describe: Provenance | None = None
    """The provenance that the build's end is to tell."""


class Builder:
    """Holds the cache and the steps that are under way; one per engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = ref(engine)  # the table below must not keep it alive
        self.cache = BuildCache(engine.db, self._is_whole)
        self.contexts = ContextStore(engine.db, f"{engine.paths.build}/context")
        self.handovers = Handovers()
        self._cancellable: dict[str, asyncio.Task[object]] = {}
        self._solver = Solver(
            self.cache,
            {
                Exec: execute,
                Files: copy_files,
                Merge: merge,
                ImageSource: _image_source,
                LocalSource: _local_source,
                GitSource: fetch_repository,
                HttpSource: fetch_file,
            },
        )

    @property
    def engine(self) -> Engine:
        """The engine that it builds for."""
        engine = self._engine()
        assert engine is not None
        return engine

    def _is_whole(self, layer: Layer) -> bool:
        return self.engine.snapshots.exists(layer.chain_id) and self.engine.store.exists(layer.descriptor.digest)

    async def build(self, request: BuildRequest, listener: Listener, held: AsyncExitStack | None = None) -> Built:
        """Build, store and tag an image; raises DockerfileError, StepFailed and others.

        What was built is kept from going until `held` ends, whatever becomes of the image and the cache meanwhile.
        """

        async def targets(session: Session) -> list[Target]:
            return await self._targets(request, session)

        return await self._run(request, listener, held, targets)

    async def plan(
        self, request: BuildRequest, listener: Listener, around: Callable[[Resolver], Resolver], ignored: LateRules
    ) -> list[Target]:
        """The front end's part alone: what is to be built, for each platform.

        `around` wraps the look-up of images; `ignored` is asked after it for what the ignore file says.
        """
        session = _session(self.engine, request, listener)
        try:
            return await self._targets(request, session, around, ignored)
        except SampanError as error:
            _point(session, request, error)
            raise
        finally:
            await session.close()

    async def finish(
        self, targets: list[Target], request: BuildRequest, listener: Listener, held: AsyncExitStack | None = None
    ) -> Built:
        """Solve and store what `plan` gave."""

        async def planned(session: Session) -> list[Target]:
            return targets

        return await self._run(request, listener, held, planned)

    async def solve(
        self, targets: Sequence[Target], request: BuildRequest, listener: Listener, held: AsyncExitStack
    ) -> list[Result]:
        """The trees of what `plan` gave, kept from going until `held` ends; nothing is stored."""
        session = _session(self.engine, request, listener)
        try:
            await self._import(session, request)
            return [result for _, result in await self._solve(session, targets, held)]
        except SampanError as error:
            _point(session, request, error)
            raise
        finally:
            await session.close()

    async def build_graph(self, top: Vertex, request: BuildRequest, listener: Listener) -> Built:
        """Solve a graph and store its tree as an image without a configuration of its own."""
        steps = [Step(vertex.name, vertex) for vertex in layers_of(top)]
        (platform,) = request.platforms or (platforms.host(),)

        async def targets(session: Session) -> list[Target]:
            return [Target(vertex=top, base=None, platform=platform, config=ExecutionConfig(working_dir="/"),
                           steps=steps)]  # fmt: skip

        return await self._run(request, listener, None, targets)

    async def _run(
        self, request: BuildRequest, listener: Listener, held: AsyncExitStack | None,
        targets: Callable[[Session], Awaitable[list[Target]]],
    ) -> Built:  # fmt: skip
        tags = [reference.parse(tag) for tag in request.tags]
        session = _session(self.engine, request, listener)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(session.close)
            try:
                await self._import(session, request)
                solved = await self._solve(session, await targets(session), stack)
                built = await self._store(session, request, solved)
                built.hold(self.engine, held if held is not None else stack)
                if request.listed:
                    self._name(session, built, request, tags)
                built = await self._export(session, request, built, held if held is not None else stack)
            except SampanError as error:
                if isinstance(error, DamagedContext):
                    self.contexts.clear()
                    sources_of(self.engine).clear()
                _point(session, request, error)
                raise
        listener(built.event())
        return built

    def parsed(self, request: BuildRequest) -> Parsed:
        """The Dockerfile as stages; nothing is looked up."""
        return _read(request, _front_end_request(request, (*request.platforms, platforms.host())[0]))

    def check(self, request: BuildRequest, listener: Listener) -> None:
        """`build --check`: tell all findings, build nothing."""
        session = _session(self.engine, request, listener)
        asked = _front_end_request(request, (*request.platforms, platforms.host())[0])
        try:
            refuse(warn(_read(request, asked), asked, request, session))
        except SampanError as error:
            _point(session, request, error)
            raise

    async def _targets(
        self, request: BuildRequest, session: Session, around: Callable[[Resolver], Resolver] = lambda found: found,
        ignored: LateRules | None = None,
    ) -> list[Target]:  # fmt: skip
        resolve = around(Bases(session, always_pull=request.pull, auth=request.auth).resolve)
        asked = [_front_end_request(request, platform) for platform in request.platforms or (platforms.host(),)]
        parsed = [_read(request, one) for one in asked]
        try:
            targets = [await convert(text, one, resolve) for text, one in zip(parsed, asked, strict=True)]
            if ignored is not None:
                request = replace(request, ignored=await ignored())
        finally:  # now that base images are here
            broken = warn(parsed[0], asked[0], request, session)
        refuse(broken)
        for target in targets:
            session.tell(Planned(steps=tuple(target.plan), platform=str(target.platform)))
        return targets

    async def _solve(
        self, session: Session, targets: Sequence[Target], stack: AsyncExitStack
    ) -> list[tuple[Target, Result]]:
        """The trees of all targets; their layers are held until the stack ends."""
        numbers: Numbers = {}
        for target in reversed(targets):
            numbers |= numbers_of(target.vertex)
        results = await self._solver.solve(session, [target.vertex for target in targets], numbers)
        layers = [layer for result in results for layer in result.layers]
        keys = [key for layer in layers for key in (layer.chain_id, layer.descriptor.digest)]
        stack.enter_context(self.engine.images.hold(keys))
        return list(zip(targets, results, strict=True))

    async def _store(self, session: Session, request: BuildRequest, solved: Sequence[tuple[Target, Result]]) -> Built:
        form, facts = _form(session, request, len(solved)), _facts(request, session)

        def stated(asked: Provenance | None) -> tuple[dict[str, Any], ...]:
            return tuple(stated_of(self.engine, facts, target, asked) for target, _ in solved) if asked else ()

        stored: list[str] = []
        try:
            documents = [await self._formed(session, request, form, *one, stored) for one in solved]
            names = [reference.parse(tag).with_default_tag() for tag in request.tags]
            built = store(self.engine, documents, Order(request.listed, form, names, stated(form.provenance)))
        except BaseException:
            self.engine.images.release((), stored)
            raise
        return replace(built, provenance=stated(request.describe))

    async def _formed(
        self, session: Session, request: BuildRequest, form: ImageForm, target: Target, result: Result,
        stored: list[str],
    ) -> tuple[ImageConfig, tuple[Layer, ...]]:  # fmt: skip
        config, whole = await document(self.engine, target, result, session.epoch, one=request.squash)
        if any(cache.kind == "inline" for cache in request.cache_to):
            config.inline_cache = inline(session.solved, whole.layers)
        return await formed(self.engine, target, config, whole, form, stored.append)

    def _name(self, session: Session, built: Built, request: BuildRequest, tags: Sequence[Reference]) -> None:
        """What was stored, shown as BuildKit's exporter shows it, and its names."""
        with session.showing("exporting to image") as did:
            if any(image.layers for image in built.images):
                did("exporting layers")
            if any(target.kind == "inline" for target in request.cache_to):
                did("preparing layers for inline cache")
            for image in built.images:
                did(f"writing image {image.id}")
            if built.index:
                for digest in built.attestations:
                    did(f"exporting attestation manifest {digest}")
                did(f"exporting manifest list {built.index_digest}")
            for name in tags:
                set_tag(self.engine, built.image, name.with_default_tag(), built.index_digest)
                did(f"naming to {name}")

    async def _import(self, session: Session, request: BuildRequest) -> None:
        if request.cache_from:
            session.imports = Imports(self.engine)
            platform = (*request.platforms, platforms.host())[0]
            await session.imports.load(session, request.cache_from, request.auth, platform)

    async def _export(self, session: Session, request: BuildRequest, built: Built, stack: AsyncExitStack) -> Built:
        """Send the cache where it is wanted; what goes to the client is held until the stack ends."""
        if not request.cache_to:
            return built
        layers = [layer for found in session.solved.values() for layer in found.layers]
        stack.enter_context(
            self.engine.images.hold(key for layer in layers for key in (layer.chain_id, layer.descriptor.digest))
        )
        images = [image.layers for image in built.images]
        return replace(built, caches=tuple(await export(session, request.cache_to, images, request.auth)))

    @contextmanager
    def cancellable(self, identity: str) -> Iterator[None]:
        """What the current task does in this block, `cancel` ends by that name; an empty one is no name."""
        task = asyncio.current_task()
        if not identity or task is None:
            yield
            return
        if identity in self._cancellable:
            raise Conflict(f"build {identity} is under way already")
        self._cancellable[identity] = task
        try:
            yield
        except asyncio.CancelledError:
            if not task.cancelling() or identity in self._cancellable:
                raise
            task.uncancel()
            raise SampanError(f"build {identity} was cancelled") from None
        finally:
            self._cancellable.pop(identity, None)

    def cancel(self, identity: str) -> None:
        """End a build; nothing happens where there is none of that name."""
        task = self._cancellable.pop(identity, None)
        if task is not None:
            task.cancel()

    def records(self) -> list[Record]:
        """All that the build cache holds, latest use first."""
        records = [*self.cache.records(), *self.contexts.packs(), *sources_of(self.engine).records()]
        return sorted(records, key=lambda one: one.used, reverse=True)

    def prune(self, keys: Sequence[str]) -> int:
        """Forget records and drop layers that nothing else needs; the bytes freed."""
        records = {record.key: record for record in self.records()}
        freed = 0
        for key in keys:
            if key.startswith(contextstore.PREFIX):
                freed += self.contexts.drop(int(key.removeprefix(contextstore.PREFIX)))
            elif key.startswith(sourcecache.PREFIX):
                freed += sources_of(self.engine).drop(key)
            else:
                self.cache.drop(key)
                freed += sum(layer.size for layer in self.engine.images.release(records[key].layers))
        return freed


def _read(request: BuildRequest, asked: Request) -> Parsed:
    def included(path: str) -> str:
        if not request.context or isinstance(request.context, Arriving | Vertex):
            raise InvalidArgument(f"INCLUDE {path}: the build has no context")
        with opened(request.context) as context:
            return read_dockerfile(context, path)

    return read(request.dockerfile, asked, included)


def _point(session: Session, request: BuildRequest, error: SampanError) -> None:
    """Tell where in the Dockerfile the build failed."""
    line, word = session.failed.line if session.failed else 0, None
    if isinstance(error, DockerfileError):
        line, word = error.line, error.word
    if line:
        session.tell(Failed(excerpt=excerpt(request.dockerfile, request.dockerfile_name, line, word), line=line))


def _session(engine: Engine, request: BuildRequest, listener: Listener) -> Session:
    contexts = {**request.sources, **contexts_of(request)}
    return Session(
        engine=engine, listener=listener, contexts=contexts, secrets=request.secrets, ssh=request.ssh,
        limits=request.limits, entitlements=request.entitlements, epoch=_epoch(request), explain=request.explain,
        complete=any(target.everything for target in request.cache_to),
    )  # fmt: skip


def contexts_of(request: BuildRequest) -> dict[str, Context]:
    """A build's own contexts by their names in the graph."""
    contexts = {request.scope + name: one for name, one in request.contexts.items()}
    if not isinstance(request.context, Vertex):
        contexts[request.scope + MAIN] = request.context
    return contexts


def _form(session: Session, request: BuildRequest, images: int) -> ImageForm:
    """The form that is asked for, as far as it goes together; what does not is told."""
    form = request.form
    check_form(form, images)
    if form.clamped and session.epoch is None:
        session.tell(Warned(text="rewrite-timestamp is specified, but no source-date-epoch was found"))
    if form.docker_types and (form.annotations or form.provenance):
        session.tell(Warned(text="annotations and attestations need media types of OCI"))
        return replace(form, docker_types=False)
    return form


def _facts(request: BuildRequest, session: Session) -> Facts:
    """What a provenance says of a build."""
    asked = {
        "target": request.target, "no-cache": ",".join(sorted(request.no_cache_stages)) or request.no_cache,
        "force-network-mode": request.network if request.network != "default" else "",
    }  # fmt: skip
    frontend = {name: "" if value is True else str(value) for name, value in asked.items() if value}
    arguments = {f"build-arg:{name}": value for name, value in request.arguments.items() if name not in PROXIES}
    arguments |= {f"label:{name}": value for name, value in request.labels.items()}
    return Facts(
        request.dockerfile_name, request.dockerfile, frontend, arguments, list(request.secrets), list(request.ssh),
        bool(request.context), session.began, time.time(), session.materials,
    )  # fmt: skip


def _epoch(request: BuildRequest) -> int | None:
    text = request.arguments.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isdigit():
        raise InvalidArgument(f"invalid SOURCE_DATE_EPOCH: {text}")
    return int(text)


def layers_of(top: Vertex) -> list[Vertex]:
    """The steps of a graph that make the layers of its tree, lowest first; those that only others read are none."""
    if isinstance(top.op, Exec | Files):
        return [*layers_of(top.inputs[0]), top]
    return [vertex for below in top.inputs for vertex in layers_of(below)] if isinstance(top.op, Merge) else []


def numbers_of(top: Vertex) -> Numbers:
    """Of each of the Dockerfile's steps the number in its stage and how many that has; stages in the file's order."""
    stages: dict[str, list[Vertex]] = {}
    for vertex in walk(top):
        if vertex.line:
            stages.setdefault(vertex.stage, []).append(vertex)
    return {
        step.identity: (number, len(steps))
        for steps in sorted(stages.values(), key=lambda steps: steps[0].line)
        for number, step in enumerate(steps, 1)
    }  # fmt: skip


def _front_end_request(request: BuildRequest, platform: Platform) -> Request:
    host = platforms.host()
    targets = _targets_for(platform, request.targets)
    contexts = {name: _context_vertex(request.scope, name, where, platform) for name, where in request.contexts.items()}
    sent = Vertex(op=LocalSource(request.scope + MAIN), name="load build context")
    return Request(
        arguments=request.arguments,
        target=request.target,
        platform=platform,
        several=len(request.platforms) > 1,
        build_platform=host,
        runs=foreign.runs,
        labels=request.labels,
        no_cache=request.no_cache,
        no_cache_stages=request.no_cache_stages,
        network=request.network or "default",
        contexts=contexts | {name: target.vertex for name, target in targets.items()},
        context=request.context if isinstance(request.context, Vertex) else sent,
        targets=targets,
    )


def _targets_for(platform: Platform, named: Mapping[str, Target]) -> dict[str, Target]:
    """What names stand for where the build is for a platform."""
    general = {name: one for name, one in named.items() if "::" not in name}
    suffix = f"::{platform}"
    return general | {name.removesuffix(suffix): one for name, one in named.items() if name.endswith(suffix)}


def _context_vertex(scope: str, name: str, where: Context, platform: Platform) -> Vertex:
    if isinstance(where, FileTree | Arriving):
        return Vertex(op=LocalSource(scope + name), name=f"load build context {name}")
    if where.startswith("docker-image://"):
        return Vertex(op=ImageSource(where.removeprefix("docker-image://"), platform), name=f"load {name}")
    if is_git(where):
        return Vertex(op=git_source(where), name=f"load {name}")
    return Vertex(op=LocalSource(scope + name), name=f"load build context {name}")


async def _image_source(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    source = vertex.op
    assert isinstance(source, ImageSource)
    if source.digest:
        return Result(session.engine.images.by_id(source.digest).layers)
    resolved = await Bases(session).resolve(source.reference, source.platform)
    return await _image_source(session, resolved.vertex, ())


async def _local_source(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    source = vertex.op
    assert isinstance(source, LocalSource)
    found = session.contexts.get(source.name, "")
    if isinstance(found, Arriving):
        found = await found.receive()
    if isinstance(found, FileTree):
        return Result(files=found)
    if not found:
        raise InvalidArgument(f"build context {source.name} was not given")
    return Result(directory=found)


_BUILDERS: WeakKeyDictionary[Engine, Builder] = WeakKeyDictionary()


def builder_of(engine: Engine) -> Builder:
    """The engine's one builder; the engine itself lies below it and does not know it."""
    if engine not in _BUILDERS:
        _BUILDERS[engine] = Builder(engine)
    return _BUILDERS[engine]
