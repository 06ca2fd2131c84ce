"""`sampan.build` without a daemon: directories, texts, parsed Dockerfiles and graphs, with typed events."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import sampan
from sampan import Engine
from sampan.build.builder import BuildRequest, builder_of
from sampan.build.execution import StepFailed
from sampan.build.graph import SCRATCH, Copy, Exec, Files, ImageSource, MakeFile, Vertex
from sampan.build.layering import shown
from sampan.build.progress import BuildEvent, Failed, ImageBuilt, Planned, StepDone, StepLog, StepStarted, Warned
from sampan.build.result import Result
from sampan.dockerfile.errors import DockerfileError
from sampan.dockerfile.parser import parse
from sampan.engine import images
from sampan.image.record import Image
from sampan.oci import digest as digests
from sampan.oci import platform as platforms


async def _read(engine: Engine, image: Image, path: str) -> str:
    async with shown(engine, Result(image.layers)) as root:
        return Path(f"{root}/{path}").read_text()


async def test_a_directory_with_typed_events(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(
        "FROM busybox AS one\nARG WORD\nENV A=b\n"
        "RUN --mount=type=secret,id=s echo said $WORD; cat /run/secrets/s > /s\n"
        "FROM scratch\nCOPY --from=one /s /s\nCOPY file /\nMAINTAINER me\n"
    )
    (tmp_path / "file").write_text("from the context")
    events: list[BuildEvent] = []
    image = await sampan.build(
        engine, tmp_path, dockerfile="other", tags=["embedded"], arguments={"WORD": "hello"}, secrets={"s": b"hush"},
        on_progress=events.append,
    )  # fmt: skip
    assert await _read(engine, image, "s") == "hush"
    assert [tag.familiar for tag in images.inspect(engine, "embedded").tags] == ["embedded:latest"]
    kinds = [type(event) for event in events]
    assert kinds[:2] == [Warned, Planned] and kinds[-1] is ImageBuilt
    warned, planned, built = events[0], events[1], events[-1]
    assert isinstance(warned, Warned) and (warned.rule, warned.line) == ("MaintainerDeprecated", 8)
    assert isinstance(planned, Planned) and planned.platform == str(platforms.host())
    assert [step.text.split()[0] for step in planned.steps] == [
        "FROM", "ARG", "ENV", "RUN", "FROM", "COPY", "COPY", "MAINTAINER",
    ]  # fmt: skip
    started = {event.step: event for event in events if isinstance(event, StepStarted)}
    assert {step.step for step in planned.steps if step.step} <= set(started)
    (log,) = (event for event in events if isinstance(event, StepLog))
    assert (log.text, log.stream, started[log.step].stage) == ("said hello\n", 1, "one")
    assert not any(event.cached or event.error for event in events if isinstance(event, StepDone))
    assert isinstance(built, ImageBuilt) and [one.id for one in built.images] == [image.id]
    images.remove(engine, "embedded")


async def test_texts_and_parsed_files(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    text = "FROM scratch\nCOPY f /d/\nCOPY <<EOF /e\nmade\nEOF\n"
    image = await sampan.build(engine, text, context=str(tmp_path))
    parsed = await sampan.build(engine, parse(text), context=str(tmp_path))
    assert image.id == parsed.id and await _read(engine, image, "e") == "made\n"
    several = await sampan.build(engine, text, context=str(tmp_path), platform="linux/arm64,linux/amd64", tags=["s"])
    assert several.config.platform.architecture == "amd64"
    assert images.inspect(engine, "s", platforms.parse("linux/arm64")).chain_id == image.chain_id
    images.remove(engine, "s")


async def test_ignore_files_of_a_directory(engine: Engine, tmp_path: Path) -> None:
    for name in ("keep", "drop.md", "sub/drop.md", "sub/keep.md", "Dockerfile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / ".dockerignore").write_text("**/*.md\n!sub/keep.md\nDockerfile\n.dockerignore\n")
    image = await sampan.build(engine, tmp_path)
    async with shown(engine, Result(image.layers)) as root:
        found = sorted(str(path.relative_to(root)) for path in Path(root).rglob("*"))
    assert found == ["keep", "sub", "sub/keep.md"]
    assert not list(Path(engine.paths.tmp).iterdir())
    images.remove(engine, image.id)


async def test_a_graph_without_a_dockerfile(engine: Engine) -> None:
    base = Vertex(op=ImageSource("busybox", platforms.host()), name="busybox")
    work = Vertex(op=Exec(args=("/bin/sh", "-c", "echo made > /out")), inputs=(base,), name="work")
    write = Vertex(op=Files((MakeFile(target="/note", name="note", data=b"written"),)), inputs=(SCRATCH,), name="write")
    top = Vertex(op=Files((Copy(input=1, sources=("/out",), target="/"),)), inputs=(write, work), name="copy")
    image = await sampan.build(engine, top, tags=["graph"])
    assert [line.created_by for line in image.config.history or []] == ["write", "copy"]
    assert (await _read(engine, image, "out"), await _read(engine, image, "note")) == ("made\n", "written")
    images.remove(engine, "graph")


async def test_failures_name_their_place(engine: Engine, tmp_path: Path) -> None:
    events: list[BuildEvent] = []
    with pytest.raises(StepFailed) as failed:
        await sampan.build(engine, "FROM busybox\nRUN echo why; exit 7\n", on_progress=events.append)
    assert failed.value.status == 7
    assert isinstance(events[-1], Failed) and ">>> RUN echo why; exit 7" in events[-1].excerpt
    with pytest.raises(DockerfileError) as wrong:
        await sampan.build(engine, "FROM busybox\nRUM x\n")
    assert (wrong.value.line, wrong.value.hint) == (2, "did you mean RUN?")
    with pytest.raises(sampan.errors.InvalidArgument, match="neither a directory"):
        await sampan.build(engine, tmp_path / "none")


async def test_a_cancelled_task_ends_its_step(engine: Engine) -> None:
    running = asyncio.Event()

    def heard(event: BuildEvent) -> None:
        if isinstance(event, StepLog):
            running.set()

    task = asyncio.ensure_future(sampan.build(engine, "FROM busybox\nRUN echo on; sleep 1000\n", on_progress=heard))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(Path(f"{engine.paths.exec_root}/builds").iterdir())


async def test_a_result_that_is_only_held_leaves_nothing(engine: Engine) -> None:
    known = {image.id for image in images.list_images(engine, {}, all_images=True)}
    request = BuildRequest(
        dockerfile="FROM scratch\nCOPY <<a /h\nheld\na\nCOPY <<b /m\nmore\nb\n", listed=False, squash=True,
        tags=["held"], platforms=(platforms.parse("linux/amd64"), platforms.parse("linux/386")),
    )  # fmt: skip
    async with AsyncExitStack() as held:
        built = await builder_of(engine).build(request, lambda event: None, held)
        documents = [built.image.id, built.image.manifest, digests.of_bytes(built.index)]
        assert all(map(engine.store.exists, documents)) and len(built.images) == 2
        assert {image.id for image in images.list_images(engine, {}, all_images=True)} == known
        assert await _read(engine, built.image, "h") == "held\n"
        top = built.image.layers[-1]
    assert not any(map(engine.store.exists, documents))
    assert not engine.store.exists(top.descriptor.digest) and not engine.snapshots.exists(top.chain_id)
