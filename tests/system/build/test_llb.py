"""Graphs that clients write themselves (LLB), as `buildctl` and bake's remote definitions send them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from grpclib.exceptions import GRPCError

from sampan.buildkit.proto import gateway_pb2, ops_pb2
from sampan.buildkit.proto.control_pb2 import Exporter
from sampan.buildkit.proto.ops_pb2 import (
    ChownOpt,
    Definition,
    ExecOp,
    FileAction,
    FileActionCopy,
    FileActionMkDir,
    FileActionMkFile,
    FileActionRm,
    FileActionSymlink,
    FileOp,
    Input,
    MergeInput,
    MergeOp,
    Meta,
    Mount,
    Op,
    OpMetadata,
    SourceOp,
    UserOpt,
)
from sampan.oci import digest as digests

from ...support import buildx
from ...support.daemon import Daemon
from ...support.fsutilpeer import Target
from ...support.steering import client, image
from .contexts import write_context


class Graph:
    """A definition that grows; operations are named by their digests."""

    def __init__(self) -> None:
        self._operations: list[bytes] = []
        self._metadata: dict[str, OpMetadata] = {}

    def add(self, operation: Op, name: str = "") -> str:
        data = operation.SerializeToString(deterministic=True)
        digest = digests.of_bytes(data)
        self._operations.append(data)
        self._metadata[digest] = OpMetadata(description={"llb.customname": name} if name else {})
        return digest

    def source(self, identifier: str, **attributes: str) -> str:
        named = {key.replace("_", ".", 1): value for key, value in attributes.items()}
        return self.add(Op(source=SourceOp(identifier=identifier, attrs=named)))

    def run(self, below: str, *args: str, mounts: dict[str, str] | None = None, **more: object) -> str:
        inputs = [below, *(mounts or {}).values()]
        bound = [Mount(input=number, dest=path, readonly=True, output=-1)
                 for number, path in enumerate(mounts or {}, 1)]  # fmt: skip
        operation = ExecOp(
            meta=Meta(args=args, env=["PATH=/bin", "A=1"], cwd="/"), mounts=[Mount(input=0, dest="/"), *bound], **more
        )  # type: ignore[arg-type]  # passed on
        return self.add(Op(inputs=[Input(digest=one) for one in inputs], exec=operation), f"step {args[-1][:20]}")

    def files(self, inputs: list[str], *actions: FileAction) -> str:
        for number, action in enumerate(actions):
            action.input = len(inputs) + number - 1 if number else action.input
            action.output = 0 if number == len(actions) - 1 else -1
        return self.add(Op(inputs=[Input(digest=one) for one in inputs], file=FileOp(actions=actions)))

    def definition(self, top: str, index: int = 0) -> Definition:
        last = Op(inputs=[Input(digest=top, index=index)]).SerializeToString(deterministic=True)
        return Definition(operations=[*self._operations, last], metadata=self._metadata)


def _copy(source: str, target: str, number: int, **more: object) -> FileAction:
    copied = FileActionCopy(src=source, dest=target, mode=-1, timestamp=-1, createDestPath=True, **more)  # type: ignore[arg-type]  # passed on
    return FileAction(secondaryInput=number, copy=copied)


async def test_all_that_a_graph_may_hold(daemon: Daemon, name: str, tmp_path: Path) -> None:
    write_context(tmp_path, "", a="of a", b="of b")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/e").write_text("of e")
    graph = Graph()
    base = graph.source("docker-image://docker.io/library/busybox:latest")
    context = graph.source("local://context", local_followpaths=json.dumps(["a", "d"]))
    owner = ChownOpt(user=UserOpt(byID=7), group=UserOpt(byName=ops_pb2.NamedUserOpt(name="8")))
    made = graph.files(
        [base, context],
        _copy("/a", "/x/a", 1, owner=owner), _copy("/d", "/x", 1), _copy("/d", "/y", 1, dirCopyContents=True),
        FileAction(mkfile=FileActionMkFile(path="/x/f", mode=0o640, data=b"\0\xff", timestamp=-1)),
        FileAction(mkdir=FileActionMkDir(path="/x/1/2", mode=0o700, makeParents=True, timestamp=-1)),
        FileAction(symlink=FileActionSymlink(oldpath="a", newpath="/x/l", timestamp=-1)),
        FileAction(mkfile=FileActionMkFile(path="/gone", mode=0o600, timestamp=-1)),
        FileAction(rm=FileActionRm(path="/gone")),
    )  # fmt: skip
    script = f"ls -ln /x; cat /x/l /x/d/e /y/e /in/a; echo $A > /out; echo {name}"
    ran = graph.run(made, "/bin/sh", "-c", script, mounts={"/in": context})
    other = graph.files([base], FileAction(input=-1, mkfile=FileActionMkFile(path="/o", mode=0o644, data=b"o")))
    merged = graph.add(
        Op(
            inputs=[Input(digest=ran), Input(digest=other)],
            merge=MergeOp(inputs=[MergeInput(input=0), MergeInput(input=1)]),
        )
    )
    result, out = graph.definition(merged), tmp_path / "out"
    out.mkdir()
    async with client(buildx.to_socket(daemon.socket), {"context": tmp_path}, [Target(out)]) as build:
        build.begin([Exporter(Type="local")], Definition=result)
        await build.end()
    assert (out / "o").read_text() == "o" and (out / "out").read_text() == "1\n" and not (out / "gone").exists()
    assert (out / "x/f").read_bytes() == b"\0\xff" and os.readlink(out / "x/l") == "a"
    lines = build.told.output.decode().splitlines()
    assert lines[-1] == f"of aof eof eof a{name}"
    fields = {line.split()[-1]: line.split() for line in lines if line.startswith(("-", "d"))}
    assert fields["a"][2:4] == ["7", "8"] and fields["f"][0] == "-rw-r-----" and fields["1"][0] == "drwx------"
    assert {one["followpaths"][0] for one in map(dict, build.files.transfers)} == {"a"}
    assert f"step {script[:20]}" in build.told.names


async def test_a_client_gives_its_graph_a_configuration(daemon: Daemon, name: str, tmp_path: Path) -> None:
    graph = Graph()
    base = graph.source("docker-image://busybox")
    ran = graph.run(base, "/bin/sh", "-c", f"echo {name} > /it")
    async with client(buildx.to_socket(daemon.socket), {}) as build:
        build.begin([image(name)])
        result = await build.solve(gateway_pb2.SolveRequest(Definition=graph.definition(ran), Evaluate=True))
        found = await build.bridge("ReadFile", gateway_pb2.ReadFileRequest(Ref=result.ref.id, FilePath="/it"))
        assert found.Data.decode() == f"{name}\n"
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["cat", "/it"], "Env": ["PATH=/bin"]},
                  "rootfs": {"type": "layers", "diff_ids": []}}  # fmt: skip
        result.metadata["containerimage.config"] = json.dumps(config).encode()
        await build.give(result)
    assert daemon.ok("run", "--rm", name) == name
    daemon.ok("rmi", name)


async def test_a_context_from_a_graph(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """As `bake` of a repository has it: both the context and the Dockerfile are what a graph gives."""
    graph = Graph()
    text = f"FROM base\nCOPY f /f\nRUN cat /f /g && echo {name}\n"
    made = graph.files(
        [], FileAction(input=-1, mkfile=FileActionMkFile(path="/Dockerfile", mode=0o644, data=text.encode())),
        FileAction(mkfile=FileActionMkFile(path="/f", mode=0o644, data=b"of f\n")),
    )  # fmt: skip
    own = Graph()
    below = own.source("docker-image://busybox")
    base = own.files([below], FileAction(input=0, mkfile=FileActionMkFile(path="/g", mode=0o644, data=b"of g\n")))
    inputs = {"context": graph.definition(made), "dockerfile": graph.definition(made), "base": own.definition(base)}
    async with client(buildx.to_socket(daemon.socket), {}) as build:
        build.begin()
        await build.give(await build.front_end({"context:base": "input:base"}, inputs))
    assert build.told.output.decode() == f"of f\nof g\n{name}\n"


async def test_what_this_engine_does_not_know(daemon: Daemon, tmp_path: Path) -> None:
    def changed(operation: Op) -> Definition:
        graph = Graph()
        below = graph.source("docker-image://busybox")
        operation.inputs.append(Input(digest=below))
        return graph.definition(graph.add(operation))

    root, elsewhere = Mount(input=0, dest="/"), Graph()
    meta = Meta(args=["true"], cwd="/")
    other = FileAction(input=0, output=0, copy=FileActionCopy(src="/a*", dest="/b", timestamp=-1))
    refused = {
        "diff operations": changed(Op(diff=ops_pb2.DiffOp())),
        "sources of the kind oci-layout": elsewhere.definition(elsewhere.source("oci-layout://x")),
        "read-only tree": changed(Op(exec=ExecOp(meta=meta, mounts=[Mount(input=0, dest="/", readonly=True)]))),
        "a whole tree is wanted at /": changed(Op(exec=ExecOp(meta=meta))),
        "no host name": changed(Op(exec=ExecOp(meta=Meta(args=["a"], hostname="x"), mounts=[root]))),
        "wildcards in them": changed(Op(file=FileOp(actions=[other]))),
        "security.insecure is not allowed":
            changed(Op(exec=ExecOp(meta=meta, mounts=[root], security=ops_pb2.INSECURE))),
        "no operation sha256":
            Definition(operations=[Op(inputs=[Input(digest=f"sha256:{'0' * 64}")]).SerializeToString()]),
    }  # fmt: skip
    for why, definition in refused.items():
        async with client(buildx.to_socket(daemon.socket), {}) as build:
            build.begin(Definition=definition)
            with pytest.raises(GRPCError, match=why):
                await build.end()
