"""Builds through BuildKit's API, steered as buildx does it (docs/buildkit.md)."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from base64 import b64decode
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from sampan.build.progress import LOG_LIMIT
from sampan.buildkit.credentials import GET_SECRET
from sampan.buildkit.proto import control_pb2, gateway_pb2, secrets_pb2
from sampan.buildkit.proto.control_pb2 import Exporter
from sampan.buildkit.proto.ops_pb2 import Policy
from sampan.buildkit.transport import Service
from sampan.errors import NotFound

from ...support import buildx
from ...support.daemon import Daemon
from ...support.fsutilpeer import Target
from ...support.steering import CONTROL, Build, client, image
from .contexts import write_context

_HISTORY = "ListenBuildHistory"


def _client(daemon: Daemon, where: Path, *services: Service, **more: Path) -> AbstractAsyncContextManager[Build]:
    directories = {"context": where, "dockerfile": where, **more}
    return client(buildx.to_socket(daemon.socket), directories, services)


async def test_an_image_and_its_steps(daemon: Daemon, name: str, tmp_path: Path) -> None:
    write_context(
        tmp_path, f"FROM busybox AS one\nARG WHO=world\nRUN echo hello $WHO > /hello; echo {name}\n"
        "FROM busybox\nCOPY a /a\nCOPY --from=one /hello /hello\nCMD cat /hello /a\n", a="of a\n", b="unused",
    )  # fmt: skip
    async with _client(daemon, tmp_path) as build:
        response = await build.run({"build-arg:WHO": "you", "label:x": "y"}, [image(name)])
    shown = json.loads(daemon.ok("image", "inspect", name))[0]
    assert response == {
        "containerimage.digest": shown["Id"], "containerimage.config.digest": shown["Id"],
        "image.name": f"docker.io/library/{name}",
    }  # fmt: skip
    assert shown["Config"]["Labels"] == {"x": "y"}
    assert daemon.ok("run", "--rm", name) == "hello you\nof a"
    assert build.told.names[:3] == [
        "[internal] load build definition from Dockerfile",
        "[internal] load metadata for docker.io/library/busybox:latest",
        "[internal] load .dockerignore",
    ]  # fmt: skip
    steps = {
        "[one 1/2] FROM docker.io/library/busybox:latest", "[internal] load build context", "[stage-1 2/3] COPY a /a",
        f"[one 2/2] RUN echo hello you > /hello; echo {name}", "[stage-1 3/3] COPY --from=one /hello /hello",
    }  # fmt: skip
    assert set(build.told.names[3:-1]) == steps and build.told.names[-1] == "exporting to image"
    assert build.told.output.decode() == f"{name}\n"
    assert {"transferring dockerfile:", "transferring context:", f"naming to docker.io/library/{name}"} <= set(
        build.told.shown
    )
    async with _client(daemon, tmp_path) as build:
        again = await build.run({"build-arg:WHO": "you", "label:x": "y"}, [image(name)])
    assert again == response and {one for one in steps if "RUN" in one or "COPY" in one} < build.told.cached
    assert [line for line in build.told.warnings if line.startswith("JSONArgsRecommended: ")]
    daemon.ok("rmi", name)


async def test_what_is_wrong_and_where(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """The status is UNKNOWN, for buildx shows any other one before the text."""
    cases = {
        f"FROM busybox\nRUN echo {name}; exit 7\n":
            (2, f'process "/bin/sh -c echo {name}; exit 7" did not complete successfully: exit code: 7'),
        "FROM busybox\nFOO bar\n":
            (2, "dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)"),
        "FROM busybox\nCOPY nope /x\n": (2, 'failed to compute cache key: "/nope": not found'),
        "FROM nosuch.invalid/x\n":
            (1, "nosuch.invalid/x: failed to resolve source metadata for nosuch.invalid/x:latest: "),
    }  # fmt: skip
    for text, (line, message) in cases.items():
        write_context(tmp_path, text)
        async with _client(daemon, tmp_path) as build:
            with pytest.raises(GRPCError) as caught:
                await build.run({}, [image(name)])
        assert caught.value.status is Status.UNKNOWN
        assert str(caught.value.message).startswith(message)
        ((url, value),) = caught.value.details
        assert url == "github.com/moby/buildkit/errdefs.Source+json"
        source = json.loads(value)
        assert source["ranges"] == [{"start": {"line": line}, "end": {"line": line}}]
        assert source["info"]["filename"] == "Dockerfile" and b64decode(source["info"]["data"]).decode() == text
    async with _client(daemon, tmp_path) as build:
        with pytest.raises(GRPCError, match="failed to read dockerfile: open Other: no such file or directory"):
            await build.run({"filename": "Other"})
    async with _client(daemon, tmp_path) as build:
        with pytest.raises(GRPCError, match=r"frontend gateway\.v0 is not supported"):
            build.begin(Frontend="gateway.v0")
            await build.end()
    async with _client(daemon, tmp_path) as build:
        build.begin(SourcePolicy=Policy())
        with pytest.raises(GRPCError, match="source policies"):
            await build.end()


async def test_results_for_the_client(daemon: Daemon, tmp_path: Path) -> None:
    where, out = tmp_path / "context", tmp_path / "out"
    out.mkdir()
    write_context(where, "FROM scratch\nCOPY a /d/a\n", a="of a")
    target = Target(out)
    async with _client(daemon, where, target) as build:
        assert await build.run({}, [Exporter(Type="local")]) == {}
    assert (out / "d/a").read_text() == "of a" and target.told["buildkit-attachable-exporter-id"] == "0"
    target = Target()
    async with _client(daemon, where, target) as build:
        await build.run({}, [Exporter(Type="tar")])
    with tarfile.open(fileobj=io.BytesIO(bytes(target.data))) as archive:
        assert [one.name for one in archive] == ["d", "d/a"]
    for kind in ("oci", "docker"):
        target = Target()
        async with _client(daemon, where, target) as build:
            response = await build.run({}, [Exporter(Type=kind, Attrs={"name": "x:1"})])
        with tarfile.open(fileobj=io.BytesIO(bytes(target.data))) as archive:
            index = json.load(archive.extractfile("index.json") or io.BytesIO())
        assert index["manifests"][0]["digest"] == response["containerimage.digest"]
        descriptor = json.loads(b64decode(response["containerimage.descriptor"]))
        assert descriptor["digest"] == response["containerimage.digest"]
        assert target.told["exporter-md-image.name"] == "docker.io/library/x:1"
    for exporter, why in (
        (Exporter(Type="gone"), "exporter 'gone' could not be found"),
        (Exporter(Type="image", Attrs={"squash": "1"}), "squash=1 cannot be done here"),
        (Exporter(Type="oci", Attrs={"tar": "false"}), "archives only"),
    ):
        async with _client(daemon, where) as build:
            with pytest.raises(GRPCError, match=why):
                await build.run({}, [exporter])


async def test_questions_about_a_dockerfile(daemon: Daemon, tmp_path: Path) -> None:
    text = (
        "# base what it is for\nFROM busybox AS base\n# WHO the user\nARG WHO=me\n"
        "RUN --mount=type=secret,id=tok,required --mount=type=ssh --mount=type=cache,target=/c true\n"
        "FROM base AS final\nARG LAST\nENV a b\n"
    )
    write_context(tmp_path, text)

    async def ask(question: str) -> dict[str, bytes]:
        async with _client(daemon, tmp_path) as build:
            build.begin()
            caps = "moby.buildkit.frontend.subrequests+forward"
            result = await build.front_end({"requestid": question, "frontend.caps": caps})
            await build.give(result)
            return dict(result.metadata)

    targets = json.loads((await ask("frontend.targets"))["result.json"])["targets"]
    assert [(one["name"], one.get("description"), one.get("default")) for one in targets] == [
        ("base", "what it is for", None), ("final", None, True),
    ]  # fmt: skip
    answer = await ask("frontend.outline")
    outline = json.loads(answer["result.json"])
    assert [(one["name"], one.get("value"), one.get("description")) for one in outline["args"]] == [
        ("WHO", "me", "the user"), ("LAST", None, None),
    ]  # fmt: skip
    assert outline["secrets"][0]["name"] == "tok" and outline["secrets"][0]["required"]
    assert outline["ssh"][0]["name"] == "default" and outline["cache"][0]["ID"] == "/c"
    assert b"WHO         me      the user\n" in answer["result.txt"] and answer["version"] == b"1.0.0"
    answer = await ask("frontend.lint")
    (found,) = json.loads(answer["result.json"])["warnings"]
    assert (found["ruleName"], found["location"]["ranges"][0]["start"]) == ("LegacyKeyValueFormat", {"line": 8})
    assert found["url"] == "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/"
    assert answer["result.statuscode"] == b"1"
    write_context(tmp_path, "FROM busybox\nFOO\n")
    broken = json.loads((await ask("frontend.lint"))["result.json"])
    assert broken["buildError"]["location"]["ranges"][0]["start"] == {"line": 2}
    async with _client(daemon, tmp_path) as build:
        with pytest.raises(GRPCError, match=r"unsupported subrequest frontend\.nothing"):
            await build.run({"requestid": "frontend.nothing"})


async def test_a_client_that_goes_away_ends_its_build(daemon: Daemon, name: str, tmp_path: Path) -> None:
    write_context(tmp_path, f"FROM busybox\nRUN echo {name}; sleep 1000\n")
    builds = daemon.exec_root / "builds"
    async with _client(daemon, tmp_path) as build:
        running = asyncio.ensure_future(build.run({}, [image(name)]))
        while name.encode() not in build.told.output:
            await asyncio.sleep(0.02)
        assert list(builds.iterdir())
        running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    while list(builds.iterdir()):
        await asyncio.sleep(0.02)
    async with _client(daemon, tmp_path) as other:
        canceled = control_pb2.BuildHistoryRequest(Filter=["status==canceled"], EarlyExit=True)
        assert build.ref in {one.record.Ref for one in await _all(other, _HISTORY, canceled)}
        stream = other.ask(f"{CONTROL}Solve", control_pb2.SolveRequest(Ref=build.ref), control_pb2.SolveResponse)
        with pytest.raises(GRPCError, match="already exists"):
            await stream  # it is remembered
    assert not daemon.ok("images", "-q", name)


class _Secrets:
    def __mapping__(self) -> dict[str, Handler]:
        unary = Cardinality.UNARY_UNARY
        return {GET_SECRET: Handler(self.get, unary, secrets_pb2.GetSecretRequest, secrets_pb2.GetSecretResponse)}

    async def get(self, stream: Any) -> None:
        if (await stream.recv_message()).ID != "tok":
            raise NotFound("no such secret")
        await stream.send_message(secrets_pb2.GetSecretResponse(data=b"hidden"))


async def test_contexts_secrets_and_ignore_files(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where, other = tmp_path / "context", tmp_path / "other"
    write_context(
        where, "FROM base\nCOPY a b /all/\nCOPY --from=two . /two\nRUN --mount=type=secret,id=tok"
        f" [ $(wc -c < /run/secrets/tok) = 6 ] && ls /all /two && echo {name}\n", a="", b="", c="",
    )  # fmt: skip
    (where / "Dockerfile.dockerignore").write_text("c\n!d\n")
    write_context(other, "", x="", y="")
    (other / ".dockerignore").write_text("z\n")
    attributes = {"context:base": "docker-image://busybox", "context:two": "local:two"}
    async with _client(daemon, where, _Secrets(), two=other) as build:
        await build.run(attributes)
    assert b"/all:\na\nb\n\n/two:\nDockerfile\nx\ny\n" in build.told.output
    assert b"hidden" not in b"".join(response.SerializeToString() for response in build.told.responses)
    asked = {
        (one["dir-name"][0], tuple(one.get("followpaths", ())), tuple(one.get("exclude-patterns", ())))
        for one in build.files.transfers
    }
    assert asked == {
        ("dockerfile", ("Dockerfile", "Dockerfile.dockerignore", "dockerfile"), ()), ("two", (".dockerignore",), ()),
        ("context", ("a", "b"), ("c", "!d")), ("two", (), ("z",)),
    }, "no more is sent than the steps read"  # fmt: skip
    async with _client(daemon, where) as build:
        with pytest.raises(GRPCError, match="unsupported context source oci-layout for base"):
            await build.run({"context:base": "oci-layout://x"})


async def test_one_build_takes_anothers_tree(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """As bake links targets: the definition of one's result is an input of the other, which ends later."""
    first, second = tmp_path / "1", tmp_path / "2"
    write_context(first, f"FROM busybox\nENV A={name}\nCOPY a /a\nRUN echo $A >> /a\n", a="first\n")
    write_context(second, "FROM base\nCOPY a /b\nRUN cat /a /b; echo $A\n", a="second\n")
    async with _client(daemon, first) as one, _client(daemon, second) as two:
        one.begin([])
        base = await one.front_end({})
        two.begin([image(name)])
        inputs = {"0-base": base.ref.definition}
        result = await two.front_end({"context:base": "input:0-base"}, inputs)
        await one.give(base)
        await two.give(result)
    assert two.told.output.decode() == f"first\n{name}\nsecond\n{name}\n"
    assert f"[3/3] RUN echo {name} >> /a" in two.told.names and "[3/3] RUN cat /a /b; echo $A" not in two.told.names
    history = json.loads(daemon.ok("image", "inspect", name))[0]
    assert f"A={name}" in history["Config"]["Env"]
    daemon.ok("rmi", name)


async def test_looking_into_a_tree(daemon: Daemon, tmp_path: Path) -> None:
    write_context(tmp_path, "FROM busybox\nCOPY a /d/a\nRUN ln -s /d/a /d/l\n", a="of a")
    async with _client(daemon, tmp_path) as build:
        build.begin()
        result = await build.front_end({})
        name = result.ref.id
        found = await build.bridge("ReadFile", gateway_pb2.ReadFileRequest(Ref=name, FilePath="/d/l"))
        assert found.Data == b"of a"
        part = gateway_pb2.FileRange(Offset=1, Length=2)
        found = await build.bridge("ReadFile", gateway_pb2.ReadFileRequest(Ref=name, FilePath="d/a", Range=part))
        assert found.Data == b"f "
        listed = await build.bridge("ReadDir", gateway_pb2.ReadDirRequest(Ref=name, DirPath="/d"))
        assert [(one.path, one.size, one.linkname) for one in listed.entries] == [("a", 4, ""), ("l", 0, "/d/a")]
        found = await build.bridge("StatFile", gateway_pb2.StatFileRequest(Ref=name, Path="/d"))
        assert found.stat.path == "d" and found.stat.mode == 0o755 | 1 << 31
        with pytest.raises(GRPCError, match="not a regular file"):
            await build.bridge("ReadFile", gateway_pb2.ReadFileRequest(Ref=name, FilePath="/d"))
        with pytest.raises(GRPCError, match="open nope: no such file or directory"):
            await build.bridge("ReadFile", gateway_pb2.ReadFileRequest(Ref=name, FilePath="nope"))
        with pytest.raises(GRPCError, match="no such ref: other"):
            await build.bridge("Evaluate", gateway_pb2.EvaluateRequest(Ref="other"))
        resolved = await build.bridge("ResolveImageConfig", gateway_pb2.ResolveImageConfigRequest(Ref="busybox"))
        assert json.loads(resolved.Config)["os"] == "linux" and resolved.Digest.startswith("sha256:")
        await build.give(gateway_pb2.Result())


async def test_usage_pruning_and_history(daemon: Daemon, name: str, tmp_path: Path) -> None:
    write_context(tmp_path, f"FROM busybox\nRUN echo {name} > /x\n")
    async with _client(daemon, tmp_path) as build:
        await build.run({})
        listed = await _all(build, _HISTORY, control_pb2.BuildHistoryRequest(Ref=build.ref, EarlyExit=True))
        ((kind, record),) = [(one.type, one.record) for one in listed]
        assert kind == control_pb2.COMPLETE and record.numTotalSteps == record.numCompletedSteps == 5
        assert not record.HasField("error") and record.CompletedAt.seconds >= record.CreatedAt.seconds
        request = control_pb2.DiskUsageRequest(filter=[f"description~=echo {name}"])
        usage = await build.ask(f"{CONTROL}DiskUsage", request, control_pb2.DiskUsageResponse)
        (found,) = usage.record
        assert found.RecordType == "regular" and found.UsageCount == 0 and not found.Shared
        pruned = await _all(build, "Prune", control_pb2.PruneRequest(filter=[f"id=={found.ID}"], all=True))
        assert [one.ID for one in pruned] == [found.ID]
        assert not (await build.ask(f"{CONTROL}DiskUsage", request, control_pb2.DiskUsageResponse)).record
        with pytest.raises(GRPCError, match="invalid filter 'mutable'"):
            await _all(build, "Prune", control_pb2.PruneRequest(filter=["mutable"]))
        for refused in (control_pb2.PruneRequest(minFreeSpace=1), control_pb2.BuildHistoryRequest()):
            with pytest.raises(GRPCError, match="not supported"):
                await _all(build, "Prune" if refused.DESCRIPTOR.name == "PruneRequest" else _HISTORY, refused)
        update = control_pb2.UpdateBuildHistoryRequest(Ref=build.ref, Delete=True)
        await build.ask(f"{CONTROL}UpdateBuildHistory", update, control_pb2.UpdateBuildHistoryResponse)
        request = control_pb2.BuildHistoryRequest(Ref=build.ref, EarlyExit=True)
        assert not await _all(build, _HISTORY, request)


async def _all(build: Build, name: str, request: Any) -> list[Any]:
    answers = {"Prune": control_pb2.UsageRecord, _HISTORY: control_pb2.BuildHistoryEvent}
    async with build.channel.request(CONTROL + name, Cardinality.UNARY_STREAM, type(request), answers[name]) as stream:
        await stream.send_message(request, end=True)
        return [one async for one in stream]


async def test_several_platforms(daemon: Daemon, name: str, tmp_path: Path) -> None:
    write_context(tmp_path, "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /it\n", amd64="1", arm64="2")
    async with _client(daemon, tmp_path) as build:
        response = await build.run({"platform": "linux/amd64,linux/arm64"}, [image(name)])
    assert set(build.told.names) > {"[linux/amd64 1/1] COPY amd64 /it", "[linux/arm64 1/1] COPY arm64 /it"}
    descriptor = json.loads(b64decode(response["containerimage.descriptor"]))
    assert descriptor["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert descriptor["digest"] == response["containerimage.digest"]
    daemon.ok("rmi", name)


async def test_what_a_step_says_without_end_is_cut(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """S26: all of it is kept for those who ask later, so there is a limit; BuildKit's."""
    write_context(tmp_path, f"FROM busybox\nCOPY --link a /a\nRUN yes {name} | head -c 5000000; echo end\n", a="")
    async with _client(daemon, tmp_path) as build:
        await build.run({})
    cut = b"\n[output clipped, log limit 2MiB reached]\n"
    assert build.told.output.endswith(cut) and len(build.told.output) == LOG_LIMIT + len(cut)
    assert sum("COPY --link" in step for step in build.told.names) == 1
