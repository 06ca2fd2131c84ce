"""Graphs of clients, whatever they hold: a graph of ours, or a refusal in words."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from sampan.buildkit.inputs import named_ref
from sampan.buildkit.llb import Graph
from sampan.buildkit.proto import ops_pb2 as pb
from sampan.errors import SampanError
from sampan.oci import digest as digests

NUMBER = st.integers(-2, 3)
PATH = st.sampled_from(["", "/", "/a", "a*", "../b", "/a/b/"])
OWNER = st.builds(pb.ChownOpt, user=st.builds(pb.UserOpt, byID=st.integers(0, 9)))
COPY = st.builds(
    pb.FileActionCopy, src=PATH, dest=PATH, mode=NUMBER, timestamp=NUMBER, allowWildcard=st.booleans(), owner=OWNER,
    exclude_patterns=st.lists(PATH, max_size=1), include_patterns=st.lists(PATH, max_size=1),
)  # fmt: skip
ACTION = st.one_of(
    st.builds(pb.FileAction, input=NUMBER, secondaryInput=NUMBER, output=NUMBER, copy=COPY),
    st.builds(pb.FileAction, input=NUMBER, mkdir=st.builds(pb.FileActionMkDir, path=PATH, mode=NUMBER)),
    st.builds(pb.FileAction, input=NUMBER, output=NUMBER, rm=st.builds(pb.FileActionRm, path=PATH)),
    st.builds(pb.FileAction, input=NUMBER),
)
MOUNT = st.builds(
    pb.Mount, input=NUMBER, dest=PATH, output=NUMBER, selector=PATH, readonly=st.booleans(),
    mountType=st.integers(0, 5), cache=st.builds(pb.CacheOption, sharing=st.integers(0, 4)),
)  # fmt: skip
META = st.builds(pb.Meta, args=st.lists(st.sampled_from(["a", "b"]), max_size=2), cwd=PATH, user=st.just("x"))
SOURCE = st.builds(
    pb.SourceOp,
    identifier=st.sampled_from(["local://c", "git://h/p#r:d", "http://h/f", "oci-layout://x", "x", "sampan-ref://no"]),
    attrs=st.dictionaries(st.sampled_from(["local.followpaths", "git.keepgitdir", "http.perm"]),
                          st.sampled_from(["", "[]", "[1]", "{", "true", "maybe"]), max_size=2),
)  # fmt: skip
OPERATION = st.one_of(
    st.builds(pb.Op, source=SOURCE),
    st.builds(pb.Op, file=st.builds(pb.FileOp, actions=st.lists(ACTION, max_size=3))),
    st.builds(pb.Op, exec=st.builds(
        pb.ExecOp, meta=META, mounts=st.lists(MOUNT, max_size=3), network=st.integers(0, 4), security=st.integers(0, 3)
    )),
    st.builds(pb.Op, merge=st.builds(pb.MergeOp, inputs=st.lists(st.builds(pb.MergeInput, input=NUMBER), max_size=2))),
    st.builds(pb.Op, diff=st.builds(pb.DiffOp)), st.builds(pb.Op),
)  # fmt: skip


@st.composite
def definitions(draw: Any) -> pb.Definition:
    """Operations that stand on earlier ones, on none, or on what is not there; sometimes plain octets."""
    texts: list[bytes] = []
    for operation in draw(st.lists(OPERATION, min_size=1, max_size=5)):
        known = [digests.of_bytes(text) for text in texts] + ["sha256:gone"]
        for digest in draw(st.lists(st.sampled_from(known), max_size=3)):
            operation.inputs.add(digest=digest, index=draw(st.sampled_from([0, 0, 0, 1])))
        texts.append(operation.SerializeToString())
    if draw(st.booleans()):
        texts.append(pb.Op(inputs=[pb.Input(digest=digests.of_bytes(texts[-1]))]).SerializeToString())
    if draw(st.integers(0, 9)) == 9:
        texts.insert(0, draw(st.binary(max_size=9)))
    return pb.Definition(operations=texts)


class _Nothing:
    """Has what no graph of these needs."""


@given(definitions())
def test_a_graph_or_words(definition: pb.Definition) -> None:
    request = SimpleNamespace(Entitlements=(), Session="s")
    solve = SimpleNamespace(request=request, credentials=None, progress=None, engine=_Nothing())
    try:
        if named_ref(definition):
            return
        graph = Graph(cast("Any", solve), definition)
        target = asyncio.run(graph.target())
        graph.request()
        assert target.vertex.definition
    except SampanError as error:
        assert str(error)
