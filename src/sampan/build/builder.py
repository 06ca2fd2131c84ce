"""The builder of one engine: from a Dockerfile and its context to an image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, ref

from ..dockerfile import lint
from ..dockerfile.errors import DockerfileError, excerpt
from ..engine.engine import Engine
from ..engine.imagehost import image_event
from ..engine.images import set_tag
from ..errors import InvalidArgument, SampanError
from ..image.layers import Layer
from ..image.record import Image
from ..model.container import HostConfig
from ..oci import config as configs
from ..oci import platform as platforms
from ..oci import reference
from ..oci.config import ExecutionConfig
from ..oci.platform import Platform
from .bases import AuthFor, Bases, no_credentials
from .cache import BuildCache
from .context import read_dockerfile
from .copying import copy_files, merge
from .execution import execute
from .fetching import fetch_file, fetch_repository
from .frontend.dockerfile import Parsed, convert, read, unused_arguments
from .frontend.files import git_source, is_git
from .frontend.request import Request, Step, Target
from .graph import Exec, Files, GitSource, HttpSource, ImageSource, LocalSource, Merge, Vertex, walk
from .handover import Handovers
from .image import configuration
from .progress import Failed, Listener, Warned
from .result import Result
from .session import ENTITLEMENTS, Session
from .solver import Solver


@dataclass(frozen=True)
class BuildRequest:
    """What `docker build` can say. `context` is a directory, empty where the Dockerfile needs none.

    `contexts` maps names of `--build-context` to directories or image references (`docker-image://…`).
    """

    dockerfile: str
    dockerfile_name: str = "Dockerfile"
    context: str = ""
    tags: Sequence[str] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: Platform | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    pull: bool = False
    network: str = "default"
    contexts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, str] = field(default_factory=dict)
    limits: HostConfig = field(default_factory=HostConfig)
    entitlements: frozenset[str] = ENTITLEMENTS
    explain: bool = False
    auth: AuthFor = no_credentials


class Builder:
    """Holds the cache and the steps that are under way; one per engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = ref(engine)  # the table below must not keep it alive
        self.cache = BuildCache(engine.db, self._is_whole)
        self.handovers = Handovers()
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

    async def build(self, request: BuildRequest, listener: Listener) -> Image:
        """Build, store and tag an image; raises DockerfileError, StepFailed and others."""
        tags = [reference.parse(tag).with_default_tag() for tag in request.tags]
        session = _session(self.engine, request, listener)
        try:
            target = await self.target(request, session)
            result = await self.solve(session, target)
            image = self._store(target, result, session)
        except SampanError as error:
            _point(session, request, error)
            raise
        finally:
            await session.close()
        for tag in tags:
            set_tag(self.engine, image, tag)
        return image

    async def build_graph(self, top: Vertex, request: BuildRequest, listener: Listener) -> Image:
        """Solve a graph and store its tree as an image without a configuration of its own."""
        tags = [reference.parse(tag).with_default_tag() for tag in request.tags]
        session = _session(self.engine, request, listener)
        platform = request.platform or platforms.host()
        try:
            steps = [Step(vertex.name, vertex) for vertex in walk(top) if isinstance(vertex.op, Exec | Files | Merge)]
            result = await self._solver.solve(session, top, {})
            made = len(result.made)
            target = Target(vertex=top, base=None, platform=platform, config=ExecutionConfig(working_dir="/"),
                            steps=steps[-made:] if made else [])  # fmt: skip
            image = self._store(target, result, session)
        finally:
            await session.close()
        for tag in tags:
            set_tag(self.engine, image, tag)
        return image

    def check(self, request: BuildRequest, listener: Listener) -> None:
        """`build --check`: tell all findings, build nothing."""
        session = _session(self.engine, request, listener)
        asked = _front_end_request(request)
        try:
            _warn(_read(request, asked), asked, session)
        except SampanError as error:
            _point(session, request, error)
            raise

    async def target(self, request: BuildRequest, session: Session) -> Target:
        """The front end's part: what is to be built."""
        asked = _front_end_request(request)
        parsed = _read(request, asked)
        _warn(parsed, asked, session)
        bases = Bases(self.engine, always_pull=request.pull, auth=request.auth)
        return await convert(parsed, asked, bases.resolve)

    async def solve(self, session: Session, target: Target) -> Result:
        """The tree of a target."""
        vertices = [vertex for vertex in walk(target.vertex) if vertex.line]
        numbers = {vertex.definition: (number, len(vertices)) for number, vertex in enumerate(vertices, 1)}
        return await self._solver.solve(session, target.vertex, numbers)

    def _store(self, target: Target, result: Result, session: Session) -> Image:
        document = configuration(target, result, session.epoch)
        image = self.engine.images.add(configs.encode(document), result.layers)
        image_event(self.engine, "create", image)
        return image

    def prune(self, keys: Sequence[str]) -> int:
        """Forget records and drop layers that nothing else needs; the bytes freed."""
        records = {record.key: record for record in self.cache.records()}
        freed = 0
        for key in keys:
            self.cache.drop(key)
            freed += sum(layer.size for layer in self.engine.images.release(records[key].layers))
        return freed


def _read(request: BuildRequest, asked: Request) -> Parsed:
    def included(path: str) -> str:
        if not request.context:
            raise InvalidArgument(f"INCLUDE {path}: the build has no context")
        return read_dockerfile(request.context, path)

    return read(request.dockerfile, asked, included)


def _point(session: Session, request: BuildRequest, error: SampanError) -> None:
    """Tell where in the Dockerfile the build failed."""
    line = error.line if isinstance(error, DockerfileError) else session.failed.line if session.failed else 0
    if line:
        text = excerpt(request.dockerfile, request.dockerfile_name, line, caret=isinstance(error, DockerfileError))
        session.tell(Failed(excerpt=text))


def _session(engine: Engine, request: BuildRequest, listener: Listener) -> Session:
    contexts = {"context": request.context}
    contexts |= {name: where for name, where in request.contexts.items() if "://" not in where}
    return Session(
        engine=engine, listener=listener, contexts=contexts, secrets=request.secrets, ssh=request.ssh,
        limits=request.limits, entitlements=request.entitlements, epoch=_epoch(request), explain=request.explain,
    )  # fmt: skip


def _epoch(request: BuildRequest) -> int | None:
    text = request.arguments.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isdigit():
        raise InvalidArgument(f"invalid SOURCE_DATE_EPOCH: {text}")
    return int(text)


def _front_end_request(request: BuildRequest) -> Request:
    host = platforms.host()
    return Request(
        arguments=request.arguments,
        target=request.target,
        platform=request.platform or host,
        build_platform=host,
        runs=_runs,
        labels=request.labels,
        no_cache=request.no_cache,
        no_cache_stages=request.no_cache_stages,
        network=request.network or "default",
        contexts={name: _context_vertex(name, where, host) for name, where in request.contexts.items()},
        context=Vertex(op=LocalSource("context"), name="load build context"),
    )


def _runs(platform: Platform) -> bool:
    """Whether this machine can run programs of a platform: by itself, or by an interpreter in binfmt_misc."""
    if platforms.rank(platforms.host(), platform) is not None:
        return True
    name = {"amd64": "x86_64", "arm64": "aarch64", "386": "i386"}.get(platform.architecture, platform.architecture)
    return os.path.exists(f"/proc/sys/fs/binfmt_misc/qemu-{name}")


def _context_vertex(name: str, where: str, platform: Platform) -> Vertex:
    if where.startswith("docker-image://"):
        return Vertex(op=ImageSource(where.removeprefix("docker-image://"), platform), name=f"load {name}")
    if is_git(where):
        return Vertex(op=git_source(where), name=f"load {name}")
    return Vertex(op=LocalSource(name), name=f"load build context {name}")


def _warn(parsed: Parsed, request: Request, session: Session) -> None:
    findings = lint.check(parsed.dockerfile, parsed.plan)
    for finding in findings:
        session.tell(Warned(text=finding.message, rule=finding.rule, line=finding.line))
    if findings and lint.is_error(parsed.dockerfile):
        raise InvalidArgument("lint violation found for rules: " + ", ".join(sorted({one.rule for one in findings})))
    unused = unused_arguments(parsed, request.arguments)
    if unused:
        session.tell(Warned(text=f"[Warning] One or more build-args {unused} were not consumed"))


async def _image_source(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    source = vertex.op
    assert isinstance(source, ImageSource)
    if source.digest:
        return Result(session.engine.images.by_id(source.digest).layers)
    resolved = await Bases(session.engine).resolve(source.reference, source.platform)
    return await _image_source(session, resolved.vertex, ())


async def _local_source(session: Session, vertex: Vertex, _: Sequence[Result]) -> Result:
    source = vertex.op
    assert isinstance(source, LocalSource)
    directory = session.contexts.get(source.name, "")
    if not directory:
        raise InvalidArgument(f"build context {source.name} was not given")
    return Result(directory=directory)


_BUILDERS: WeakKeyDictionary[Engine, Builder] = WeakKeyDictionary()


def builder_of(engine: Engine) -> Builder:
    """The engine's one builder; the engine itself lies below it and does not know it."""
    if engine not in _BUILDERS:
        _BUILDERS[engine] = Builder(engine)
    return _BUILDERS[engine]
