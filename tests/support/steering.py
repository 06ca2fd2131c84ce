"""A build as buildx steers it: a session with services, Status, Solve, and LLBBridge for what the result is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError

from sampan.buildkit.proto import control_pb2, gateway_pb2
from sampan.buildkit.proto.control_pb2 import Exporter, SolveRequest, StatusRequest, StatusResponse
from sampan.buildkit.proto.ops_pb2 import Definition
from sampan.buildkit.transport import Service

from . import buildx
from .fsutilpeer import Directories

CONTROL, BRIDGE = "/moby.buildkit.v1.Control/", "/moby.buildkit.v1.frontend.LLBBridge/"


@dataclass
class Told:
    """All of a build's Status."""

    responses: list[StatusResponse] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Steps in the order in which they were first told."""
        return list(dict.fromkeys(one.name for response in self.responses for one in response.vertexes))

    @property
    def cached(self) -> set[str]:
        return {one.name for response in self.responses for one in response.vertexes if one.cached}

    @property
    def errors(self) -> dict[str, str]:
        return {one.name: one.error for response in self.responses for one in response.vertexes if one.error}

    @property
    def shown(self) -> list[str]:
        """The lines below steps that came to an end."""
        return [one.ID for response in self.responses for one in response.statuses if one.HasField("completed")]

    @property
    def output(self) -> bytes:
        return b"".join(one.msg for response in self.responses for one in response.logs)

    @property
    def warnings(self) -> list[str]:
        return [one.short.decode() for response in self.responses for one in response.warnings]


class Build:
    """One build of a client."""

    def __init__(self, channel: Channel, session: str, files: Directories) -> None:
        self.channel = channel
        self.files = files
        self.session = session
        self.ref = token_hex(12)
        self.told = Told()
        self._status: asyncio.Task[None] | None = None
        self._solve: asyncio.Task[dict[str, str]] | None = None

    async def ask(self, path: str, request: Any, answer: type[Any]) -> Any:
        """One call of the build."""
        metadata = {"buildkit-controlapi-buildid": self.ref}
        async with self.channel.request(
            path, Cardinality.UNARY_UNARY, type(request), answer, metadata=metadata
        ) as stream:
            await stream.send_message(request, end=True)
            found = await stream.recv_message()
            assert found is not None
            return found

    async def bridge(self, name: str, request: Any) -> Any:
        """A call of LLBBridge."""
        answer = "PongResponse" if name == "Ping" else f"{name}Response"
        return await self.ask(BRIDGE + name, request, getattr(gateway_pb2, answer))

    def begin(self, exporters: Sequence[Exporter] = (), **more: Any) -> None:
        """Status, then Solve, as buildx does: the first may come before the second."""
        self._status = asyncio.ensure_future(self._follow())
        request = SolveRequest(Ref=self.ref, Session=self.session, Exporters=exporters, **more)
        self._solve = asyncio.ensure_future(self._run(request))

    async def _follow(self) -> None:
        async with self.channel.request(
            f"{CONTROL}Status", Cardinality.UNARY_STREAM, StatusRequest, StatusResponse
        ) as stream:
            await stream.send_message(StatusRequest(Ref=self.ref), end=True)
            async for response in stream:
                self.told.responses.append(response)

    async def _run(self, request: SolveRequest) -> dict[str, str]:
        response = await self.ask(f"{CONTROL}Solve", request, control_pb2.SolveResponse)
        return dict(response.ExporterResponse)

    async def front_end(
        self, attributes: Mapping[str, str], inputs: Mapping[str, Definition] | None = None
    ) -> gateway_pb2.Result:
        """What the Dockerfile's front end gives; its failure is the build's."""
        request = gateway_pb2.SolveRequest(
            Frontend="dockerfile.v0", FrontendOpt={"filename": "Dockerfile", **attributes}, FrontendInputs=inputs or {},
            allowResultReturn=True, allowResultArrayRef=True,
        )  # fmt: skip
        return await self.solve(request)

    async def solve(self, request: gateway_pb2.SolveRequest) -> gateway_pb2.Result:
        try:
            response: gateway_pb2.SolveResponse = await self.bridge("Solve", request)
        except GRPCError as error:
            failed = gateway_pb2.ReturnRequest()
            failed.error.code, failed.error.message = error.status.value, error.message or ""
            for url, value in error.details or ():
                failed.error.details.add(type_url=url, value=value)
            await self.bridge("Return", failed)
            return gateway_pb2.Result()
        return response.result

    async def give(self, result: gateway_pb2.Result) -> dict[str, str]:
        """Say what the result is; what clients are told of it, when the build has ended."""
        await self.bridge("Return", gateway_pb2.ReturnRequest(result=result))
        return await self.end()

    async def end(self) -> dict[str, str]:
        """Wait for the end of it; raises GRPCError where it failed."""
        assert self._solve is not None and self._status is not None
        try:
            return await asyncio.wait_for(self._solve, 60)
        finally:
            await asyncio.wait_for(self._status, 60)

    async def settle(self) -> None:
        """Let what was under way come to its end, whatever that is."""
        begun = [task for task in (self._status, self._solve) if task is not None]
        await asyncio.gather(*begun, return_exceptions=True)

    async def run(
        self, attributes: Mapping[str, str] | None = None, exporters: Sequence[Exporter] = (), **more: Any
    ) -> dict[str, str]:
        """The whole of it."""
        self.begin(exporters, **more)
        await self.bridge("Ping", gateway_pb2.PingRequest())
        result = await self.front_end(attributes or {})
        return await (self.give(result) if result.WhichOneof("result") else self.end())


@asynccontextmanager
async def client(
    connect: buildx.Connect, directories: Mapping[str, Path], services: Iterable[Service] = ()
) -> AsyncIterator[Build]:
    """A client whose session has those directories; the first of its builds."""
    session, files = token_hex(12), Directories(dict(directories))
    async with (
        buildx.session(connect, session, [files, *services]),
        buildx.calls(connect) as channel,
    ):
        build = Build(channel, session, files)
        yield build
    await build.settle()


def image(*names: str) -> Exporter:
    """The exporter of buildx's docker driver."""
    return Exporter(Type="moby", Attrs={"name": ",".join(names)} if names else {})
