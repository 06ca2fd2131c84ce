"""Graphs of the client's own (LLB) as ours: equal in meaning, or refused where an operation is none of ours.

A definition is a list of operations; each names its inputs by the digest of their bytes and the number of an output.
Ours have one output, so only the tree of a step is one; what it writes elsewhere is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..build.bases import Bases
from ..build.builder import BuildRequest, layers_of
from ..build.frontend.files import file_name, git_source
from ..build.frontend.request import Step, Target
from ..build.graph import SCRATCH, Exec, HttpSource, LocalSource, Merge, Mount, Vertex
from ..build.session import ENTITLEMENTS, Arriving, Context
from ..build.session import Session as BuildSession
from ..errors import InvalidArgument, NotImplementedHere, SampanError
from ..model.container import HostConfig, Ulimit
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import platform as platforms
from ..oci.config import ExecutionConfig
from ..oci.platform import Platform
from .attrs import is_true
from .failing import failure
from .filesync import Local
from .inputs import Given, named_ref, taken
from .llbfiles import file_vertex, input_at, operation_of
from .proto import ops_pb2 as pb
from .solves import Outcome, Solve
from .transfers import fetch, once

if TYPE_CHECKING:
    from ..build.filetree import FileTree

_KINDS: Final = {pb.BIND: "bind", pb.SECRET: "secret", pb.SSH: "ssh", pb.CACHE: "cache", pb.TMPFS: "tmpfs"}
_SHARING: Final = {pb.SHARED: "shared", pb.PRIVATE: "private", pb.LOCKED: "locked"}
_NETWORKS: Final = {pb.UNSET: "default", pb.HOST: "host", pb.NONE: "none"}
_SECURITIES: Final = {pb.SANDBOX: "sandbox", pb.INSECURE: "insecure"}


async def graph_outcome(solve: Solve, definition: pb.Definition) -> Outcome:
    """What a client's own graph stands for; raises GRPCError."""
    if not definition.operations:
        return Outcome()
    try:
        graph = Graph(solve, definition)
        target = await graph.target()
    except SampanError as error:
        raise failure(error, solve.progress) from error
    return Outcome({"": solve.keep(target, graph.request(), graph.contexts)})


async def given_tree(solve: Solve, definition: pb.Definition, config: bytes = b"") -> Given:
    """What a client passes on from another build, or has made itself; `config` is an image's, if it comes with one."""
    if name := named_ref(definition):
        return taken(solve, name)
    graph = Graph(solve, definition)
    target = await graph.target()
    return Given(configured(target, config) if config else target, graph.contexts)


def configured(target: Target, config: bytes) -> Target:
    """A tree with the configuration that a client gives it."""
    found = configs.parse(config)
    return msgspec.structs.replace(
        target, config=found.config or target.config, platform=found.platform, author=found.author
    )


class Graph:
    """One definition. `contexts` are the client's directories that it reads, by the names that its vertices have."""

    def __init__(self, solve: Solve, definition: pb.Definition) -> None:
        self._solve = solve
        self._definition = definition
        self._operations = {digests.of_bytes(text): operation_of(text) for text in definition.operations}
        self._done: dict[str, Vertex] = {}
        self._limits: list[HostConfig] = []
        self.contexts: dict[str, Context] = {}

    async def target(self) -> Target:
        """The tree that the last operation names."""
        last = operation_of(self._definition.operations[-1])
        if last.WhichOneof("op") is not None or len(last.inputs) != 1:
            raise InvalidArgument("invalid definition: the last operation names the result and does nothing else")
        for text in self._definition.operations[:-1]:
            await self._add(digests.of_bytes(text))
        vertex = self._input(last.inputs[0])
        steps = [Step(one.name, one) for one in layers_of(vertex)]
        config = ExecutionConfig(working_dir="/")
        platform = _platform(self._operations[last.inputs[0].digest])
        return Target(vertex=vertex, base=None, platform=platform, config=config, steps=steps)

    def request(self) -> BuildRequest:
        """How it is built."""
        if any(one != self._limits[0] for one in self._limits):
            raise NotImplementedHere("steps of one build have the same hosts, limits and control group here")
        entitlements = ENTITLEMENTS | frozenset(self._solve.request.Entitlements)
        auth = self._solve.credentials
        request = BuildRequest(dockerfile="", listed=False, entitlements=entitlements, auth=auth)
        return replace(request, limits=self._limits[0]) if self._limits else request

    def _input(self, wanted: pb.Input) -> Vertex:
        """What an operation above it made: clients list inputs first."""
        if wanted.digest not in self._done:
            raise InvalidArgument(f"invalid definition: no operation {wanted.digest} before the one that wants it")
        if wanted.index != _root_output(self._operations[wanted.digest]):
            raise NotImplementedHere("what a step writes into its mounts is no result here: only its own tree is")
        return self._done[wanted.digest]

    async def _add(self, digest: str) -> None:
        operation = self._operations[digest]
        inputs = [self._input(one) for one in operation.inputs]
        match operation.WhichOneof("op"):
            case "source":
                made = await self._source(operation, digest)
            case "exec":
                made = self._exec(operation.exec, inputs)
            case "file":
                made = file_vertex(operation.file, inputs)
            case "merge":
                merged = tuple(input_at(inputs, one.input) for one in operation.merge.inputs)
                made = Vertex(op=Merge(), inputs=merged, name="merge")
            case kind:
                raise NotImplementedHere(f"{kind} operations are not supported by this engine")
        about = self._definition.metadata[digest]
        name = about.description.get("llb.customname") or made.name
        self._done[digest] = msgspec.structs.replace(made, name=name, ignore_cache=about.ignore_cache)

    async def _source(self, operation: pb.Op, digest: str) -> Vertex:
        scheme, _, rest = operation.source.identifier.partition("://")
        attributes = dict(operation.source.attrs)
        match scheme:
            case "docker-image":
                return await self._image(rest, attributes, _platform(operation))
            case "sampan-ref":
                found = taken(self._solve, rest)
                self.contexts |= found.contexts
                return found.target.vertex
            case "local":
                return self._local(rest, attributes, digest)
            case "git":
                return _git(rest, attributes)
            case "http" | "https":
                return _http(operation.source.identifier, attributes)
        raise NotImplementedHere(f"sources of the kind {scheme} are not supported by this engine")

    async def _image(self, name: str, attributes: dict[str, str], platform: Platform) -> Vertex:
        _check(attributes, {"image.resolvemode", "image.recordtype"})
        pull = attributes.get("image.resolvemode") == "pull"
        session = BuildSession(self._solve.engine, self._solve.progress)
        bases = Bases(session, always_pull=pull, auth=self._solve.credentials)
        return (await bases.resolve(name, platform)).vertex

    def _local(self, name: str, attributes: dict[str, str], digest: str) -> Vertex:
        """A directory of the client's; which of its files, the attributes say as JSON."""
        try:
            include, exclude, follow = (
                msgspec.json.decode(attributes.get(f"local.{key}") or "[]", type=list[str])
                for key in ("includepattern", "excludepatterns", "followpaths")
            )
        except msgspec.MsgspecError as error:
            raise InvalidArgument(f"invalid attributes of a local source: {error}") from None
        local, source = Local(name, include, exclude, follow), LocalSource(f"{name} {digest}")

        async def receive() -> FileTree:
            session = await self._solve.session(attributes.get("local.session", ""))
            return await fetch(self._solve, session, local, self._solve.progress.context_step(source.name))

        self.contexts[source.name] = Arriving(once(receive))
        return Vertex(op=source, name=f"load build context {name}")

    def _exec(self, operation: pb.ExecOp, inputs: Sequence[Vertex]) -> Vertex:
        meta = operation.meta
        if meta.hostname or operation.cdiDevices or set(meta.validExitCodes) - {0}:
            raise NotImplementedHere("steps have no host name, devices or exit codes of their own here")
        self._limits.append(_limits(meta))
        root, others = _split(operation.mounts)
        below = input_at(inputs, root.input) if root.input >= 0 else SCRATCH
        used = [one.input for one in others if one.input >= 0 and one.mountType in (pb.BIND, pb.CACHE)]
        proxies = _proxies(meta.proxy_env)
        mounts = [_mount(one, used.index(one.input) + 1 if one.input in used else -1) for one in others]
        mounts += [
            Mount(kind="secret", target="", id=one.ID, env=one.name, required=not one.optional)
            for one in operation.secretenv
        ]
        run = Exec(
            args=tuple(meta.args), env=(*meta.env, *proxies), cwd=meta.cwd or "/", user=meta.user,
            mounts=tuple(mounts), network=_named(_NETWORKS, operation.network),
            security=_named(_SECURITIES, operation.security),
        )  # fmt: skip
        unkeyed = tuple(pair.partition("=")[0] for pair in proxies)
        return Vertex(
            op=run,
            inputs=(below, *(input_at(inputs, number) for number in used)),
            name=" ".join(meta.args),
            unkeyed=unkeyed,
        )


def _named(names: Mapping[Any, str], value: object) -> str:
    """Of a value of an enumeration, which may be one that nobody knows yet."""
    if value not in names:
        raise NotImplementedHere(f"invalid exec operation: a mount, network or security mode {value} is not known")
    return names[value]


def _split(mounts: Sequence[pb.Mount]) -> tuple[pb.Mount, list[pb.Mount]]:
    """The mount that is the step's tree, and the others."""
    roots = [one for one in mounts if one.dest == "/"]
    if len(roots) != 1 or roots[0].mountType != pb.BIND or roots[0].selector not in ("", "/"):
        raise InvalidArgument("invalid exec operation: a whole tree is wanted at /")
    if roots[0].readonly:
        raise NotImplementedHere("steps in a read-only tree are not supported by this engine")
    return roots[0], [one for one in mounts if one.dest != "/"]


def _root_output(operation: pb.Op) -> int:
    """The number of the output that is an operation's tree."""
    if operation.WhichOneof("op") != "exec":
        return 0
    return next((one.output for one in operation.exec.mounts if one.dest == "/"), 0)


def _mount(one: pb.Mount, number: int) -> Mount:
    plain = Mount(kind=_named(_KINDS, one.mountType), target=one.dest, read_only=one.readonly)
    changed = msgspec.structs.replace
    match one.mountType:
        case pb.SECRET:
            secret = one.secret
            return changed(plain, id=secret.ID, uid=secret.uid, gid=secret.gid, mode=secret.mode,
                           required=not secret.optional)  # fmt: skip
        case pb.SSH:
            ssh = one.ssh
            return changed(plain, id=ssh.ID or "default", uid=ssh.uid, gid=ssh.gid, mode=ssh.mode,
                           required=not ssh.optional)  # fmt: skip
        case pb.CACHE:
            return changed(plain, input=number, source=one.selector, id=one.cache.ID or one.dest,
                           sharing=_named(_SHARING, one.cache.sharing))  # fmt: skip
        case pb.TMPFS:
            return changed(plain, size=one.tmpfs.size)
    if number < 0:
        raise NotImplementedHere(f"an empty tree at {one.dest} is not supported by this engine: a tmpfs is")
    return changed(plain, input=number, source=one.selector)


def _limits(meta: pb.Meta) -> HostConfig:
    return HostConfig(
        extra_hosts=[f"{one.Host}:{one.IP}" for one in meta.extraHosts] or None, cgroup_parent=meta.cgroupParent,
        ulimits=[Ulimit(name=one.Name, soft=one.Soft, hard=one.Hard) for one in meta.ulimit] or None,
    )  # fmt: skip


def _proxies(proxy: pb.ProxyEnv) -> list[str]:
    given = {name: getattr(proxy, name) for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")}
    return [f"{written}={value}" for name, value in given.items() if value for written in (name.upper(), name)]


def _check(attributes: dict[str, str], known: set[str]) -> None:
    """Refuse what would be left undone."""
    unknown = {name for name, value in attributes.items() if value} - known
    if unknown:
        raise NotImplementedHere(f"the source attribute {min(unknown)} is not supported by this engine")


def _git(rest: str, attributes: dict[str, str]) -> Vertex:
    """`host/path#ref:directory`; an attribute has the remote as it was written."""
    _check(attributes, {"git.fullurl", "git.keepgitdir", "git.authtokensecret", "git.authheadersecret",
                        "git.mountsshsock", "git.knownsshhosts"})  # fmt: skip
    place, _, fragment = rest.partition("#")
    remote = attributes.get("git.fullurl", "").partition("#")[0] or f"https://{place}"
    keep = is_true(attributes, "git.keepgitdir")
    source = git_source(f"{remote}#{fragment}" if fragment else remote, keep_git_dir=keep)
    return Vertex(op=source, name=f"git {rest}")


def _http(url: str, attributes: dict[str, str]) -> Vertex:
    _check(attributes, {"http.checksum", "http.filename"})
    name = attributes.get("http.filename") or file_name(url)
    return Vertex(op=HttpSource(url, name, attributes.get("http.checksum", "")), name=url)


def _platform(operation: pb.Op) -> Platform:
    asked = operation.platform
    return Platform(asked.Architecture, asked.OS, variant=asked.Variant) if asked.OS else platforms.host()
