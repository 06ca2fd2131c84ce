"""`LLBBridge`: a client that steers its build asks for trees, looks into them, and says at last what the result is."""

from __future__ import annotations

import errno
import fnmatch
import posixpath
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from grpclib.const import Cardinality, Handler

from ..build.bases import Bases
from ..build.graph import ImageSource
from ..build.layering import source_tree
from ..build.session import Session
from ..build.sources import SourceFile, SourceTree
from ..cas.threads import run_in_thread
from ..errors import InvalidArgument, NotFound, NotImplementedHere
from ..oci import config as configs
from ..oci import platform as platforms
from ..oci import reference
from . import capabilities
from .attrs import Attributes
from .filemodes import to_go
from .frontend import front_end
from .inputs import definition_of
from .llb import graph_outcome
from .proto import gateway_pb2 as pb
from .proto.control_pb2 import VertexWarning
from .proto.fsutil_pb2 import Stat
from .proto.ops_pb2 import Platform, SourceOp
from .results import given, results_of
from .solves import ClientFailure, Outcome, Ref, Solve, solves_of

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpclib.server import Stream

    from ..engine.engine import Engine

BUILD_ID: Final = "buildkit-controlapi-buildid"
"""The metadata that names the build."""
_IMAGE: Final = "docker-image://"
_LARGEST: Final = 16 << 20
"""Octets of a file that one call reads: gRPC's clients take no larger messages."""


class Gateway:
    """The service of one connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __mapping__(self) -> dict[str, Handler]:
        calls: dict[str, tuple[Any, type[Message], type[Message]]] = {
            "Ping": (self._ping, pb.PingRequest, pb.PongResponse),
            "Solve": (self._solve, pb.SolveRequest, pb.SolveResponse),
            "Return": (self._return, pb.ReturnRequest, pb.ReturnResponse),
            "Inputs": (self._inputs, pb.InputsRequest, pb.InputsResponse),
            "Evaluate": (self._evaluate, pb.EvaluateRequest, pb.EvaluateResponse),
            "ReadFile": (self._read_file, pb.ReadFileRequest, pb.ReadFileResponse),
            "ReadDir": (self._read_dir, pb.ReadDirRequest, pb.ReadDirResponse),
            "StatFile": (self._stat_file, pb.StatFileRequest, pb.StatFileResponse),
            "ResolveImageConfig": (
                self._resolve_image, pb.ResolveImageConfigRequest, pb.ResolveImageConfigResponse,
            ),
            "ResolveSourceMeta": (self._resolve_source, pb.ResolveSourceMetaRequest, pb.ResolveSourceMetaResponse),
            "Warn": (self._warn, pb.WarnRequest, pb.WarnResponse),
        }  # fmt: skip
        return {
            f"/moby.buildkit.v1.frontend.LLBBridge/{name}": Handler(
                self._answering(call), Cardinality.UNARY_UNARY, request, response
            )
            for name, (call, request, response) in calls.items()
        }

    def _answering(self, call: Any) -> Any:
        """A call of the build that the metadata names."""

        async def answer(stream: Stream[Any, Any]) -> None:
            request = await stream.recv_message()
            assert request is not None and stream.metadata is not None
            solve = await solves_of(self._engine).running(str(stream.metadata.get(BUILD_ID, "")))
            await stream.send_message(await call(solve, request))

        return answer

    async def _ping(self, solve: Solve, request: pb.PingRequest) -> pb.PongResponse:
        return pb.PongResponse(
            FrontendAPICaps=capabilities.capabilities(capabilities.FRONTEND),
            LLBCaps=capabilities.capabilities(capabilities.LLB), Workers=[capabilities.worker(self._engine)],
        )  # fmt: skip

    async def _solve(self, solve: Solve, request: pb.SolveRequest) -> pb.SolveResponse:
        if request.SourcePolicies:
            raise NotImplementedHere("source policies are not supported by this engine")
        if request.Frontend:
            attributes = Attributes(dict(request.FrontendOpt))
            outcome = await front_end(solve, request.Frontend, attributes, dict(request.FrontendInputs))
        else:
            outcome = await graph_outcome(solve, request.Definition)
        if request.Evaluate:
            async with AsyncExitStack() as stack:
                await results_of(solve, list(outcome.refs.values()), stack)
        return pb.SolveResponse(result=_message(outcome))

    async def _return(self, solve: Solve, request: pb.ReturnRequest) -> pb.ReturnResponse:
        if not solve.returned.done():
            if request.HasField("error"):
                solve.returned.set_exception(ClientFailure(request.error))
            else:
                solve.returned.set_result(given(solve, request.result))
        return pb.ReturnResponse()

    async def _inputs(self, solve: Solve, request: pb.InputsRequest) -> pb.InputsResponse:
        return pb.InputsResponse(Definitions=dict(solve.request.FrontendInputs))

    async def _evaluate(self, solve: Solve, request: pb.EvaluateRequest) -> pb.EvaluateResponse:
        async with AsyncExitStack() as stack:
            await results_of(solve, [_ref(solve, request.Ref)], stack)
        return pb.EvaluateResponse()

    async def _read_file(self, solve: Solve, request: pb.ReadFileRequest) -> pb.ReadFileResponse:
        start, length = request.Range.Offset, request.Range.Length
        async with _tree(solve, request.Ref) as tree:
            file = _found(tree, request.FilePath)
            return pb.ReadFileResponse(Data=await run_in_thread(lambda: _part(file, start, length)))
        raise AssertionError("not reached")

    async def _read_dir(self, solve: Solve, request: pb.ReadDirRequest) -> pb.ReadDirResponse:
        async with _tree(solve, request.Ref) as tree:
            path = _resolved(tree, request.DirPath)
            names = [name for name in tree.names(path)
                     if not request.IncludePattern or fnmatch.fnmatchcase(name, request.IncludePattern)]  # fmt: skip
            return pb.ReadDirResponse(entries=[_stat(tree.file(posixpath.join(path, name)), name) for name in names])
        raise AssertionError("not reached")

    async def _stat_file(self, solve: Solve, request: pb.StatFileRequest) -> pb.StatFileResponse:
        async with _tree(solve, request.Ref) as tree:
            return pb.StatFileResponse(stat=_stat(_found(tree, request.Path), posixpath.basename(request.Path)))
        raise AssertionError("not reached")

    async def _resolve_image(
        self, solve: Solve, request: pb.ResolveImageConfigRequest
    ) -> pb.ResolveImageConfigResponse:
        found, config = await self._image(solve, request.Ref, request.Platform, request.ResolveMode)
        return pb.ResolveImageConfigResponse(Digest=found, Config=config, Ref=request.Ref)

    async def _resolve_source(self, solve: Solve, request: pb.ResolveSourceMetaRequest) -> pb.ResolveSourceMetaResponse:
        identifier = request.Source.identifier
        response = pb.ResolveSourceMetaResponse(
            Source=SourceOp(identifier=identifier, attrs=dict(request.Source.attrs))
        )
        if identifier.startswith(_IMAGE):
            name = identifier.removeprefix(_IMAGE)
            digest, config = await self._image(solve, name, request.Platform, request.ResolveMode)
            response.Image.Digest, response.Image.Config = digest, config
        return response

    async def _image(self, solve: Solve, name: str, wanted: Platform, mode: str) -> tuple[str, bytes]:
        """The digest of an image's manifest and its configuration; it is pulled where it is not here."""
        session = Session(self._engine, solve.progress)
        bases = Bases(session, always_pull=mode == "pull", auth=solve.credentials)
        platform = platforms.Platform(wanted.Architecture, wanted.OS, variant=wanted.Variant)
        full = reference.parse(name).with_default_tag()
        with solve.progress.step(f"[internal] load metadata for {full}"):
            found = await bases.resolve(name, platform if wanted.OS else platforms.host())
        source = found.vertex.op
        assert isinstance(source, ImageSource)
        image = self._engine.images.by_id(source.digest)
        return image.manifest, configs.encode(found.config)

    async def _warn(self, solve: Solve, request: pb.WarnRequest) -> pb.WarnResponse:
        warning = VertexWarning(
            vertex=request.digest, level=request.level, short=request.short, detail=request.detail, url=request.url,
            ranges=request.ranges,
        )  # fmt: skip
        warning.info.CopyFrom(request.info)
        solve.progress.warn(warning)
        return pb.WarnResponse()


def _message(outcome: Outcome) -> pb.Result:
    result = pb.Result(metadata=dict(outcome.metadata))
    refs = {name: pb.Ref(id=ref.id, definition=definition_of(ref)) for name, ref in outcome.refs.items()}
    if "" in refs:
        result.ref.CopyFrom(refs[""])
    elif refs:
        result.refs.CopyFrom(pb.RefMap(refs=refs))
    else:
        result.ref.CopyFrom(pb.Ref())
    return result


def _ref(solve: Solve, identity: str) -> Ref:
    found = solve.refs.get(identity)
    if found is None:
        raise NotFound(f"no such ref: {identity}")
    return found


@asynccontextmanager
async def _tree(solve: Solve, identity: str) -> AsyncIterator[SourceTree]:
    """A tree to look into, built where it is not yet."""
    async with AsyncExitStack() as stack:
        (result,) = await results_of(solve, [_ref(solve, identity)], stack)
        yield await stack.enter_async_context(source_tree(solve.engine, result))


def _resolved(tree: SourceTree, path: str) -> str:
    """Links followed inside the tree."""
    try:
        return tree.resolve(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotFound(f"open {path}: no such file or directory") from None
        raise InvalidArgument(f"open {path}: {error.strerror}") from error


def _found(tree: SourceTree, path: str) -> SourceFile:
    return tree.file(_resolved(tree, path))


def _part(file: SourceFile, start: int, length: int) -> bytes:
    """Some of a regular file, or all from `start` on."""
    if not stat.S_ISREG(file.mode):
        raise InvalidArgument(f"read {file.path}: not a regular file")
    end = min(file.size, start + length) if length else file.size
    if end - start > _LARGEST:
        raise InvalidArgument(f"read {file.path}: more than {_LARGEST >> 20} MiB at once")
    found, position = bytearray(), 0
    for chunk in file.chunks():
        found += chunk[max(0, start - position) : max(0, end - position)]
        position += len(chunk)
        if position >= end:
            break
    return bytes(found)


def _stat(file: SourceFile, name: str) -> Stat:
    return Stat(
        path=name, mode=to_go(file.mode), uid=file.uid, gid=file.gid, modTime=file.mtime_ns,
        size=file.size if stat.S_ISREG(file.mode) else 0,
        linkname=file.link() if stat.S_ISLNK(file.mode) else "",
    )  # fmt: skip
