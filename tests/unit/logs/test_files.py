"""The file formats: written, rotated, read back."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan import errors
from sampan.logs import decode, localfile, options, readers, rotation, writers
from sampan.logs.info import LogInfo
from sampan.logs.jsonfile import JsonFileWriter, escape
from sampan.logs.lines import PIECE, LineSplitter, messages
from sampan.logs.timestamps import fixed_rfc3339, rfc3339

ID = "c" * 64
T = 1_700_000_000_123_456_789


def open_writer(directory: Path, driver: str, config: dict[str, str] | None = None) -> writers.Writer:
    (writer,) = writers.open(driver, config or {}, str(directory), LogInfo(container_id=ID))
    return writer


async def read_all(directory: Path, driver: str, **kwargs: object) -> list[decode.Entry]:
    return [entry async for entry in readers.read(driver, {}, str(directory), ID, **kwargs)]  # type: ignore[arg-type]


def naive_copier(chunks: list[bytes]) -> list[bytes]:
    """Docker's copier as one would write it for clarity: pieces of 16 KiB at the start of each line."""
    found = []
    for line in b"".join(chunks).splitlines(keepends=True) if chunks else []:
        while len(line) > PIECE or (len(line) == PIECE and not line.endswith(b"\n")):
            found.append(line[:PIECE])
            line = line[PIECE:]
        if line:
            found.append(line)
    return found


@given(
    st.lists(st.sampled_from([b"a\n", b"\n", b"x" * 100, b"y" * PIECE, b"z" * (PIECE - 1), b"w" * 40000]), max_size=9)
)
def test_lines_are_cut_as_dockers_copier_cuts_them(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    got = []
    for chunk in chunks:
        for segment in splitter.feed(chunk, 1):
            got += [segment.data] if segment.partial else [line + b"\n" for line in messages(segment)]
    if rest := splitter.end(2):
        got.append(rest.data)
    assert got == naive_copier(chunks)


def test_pieces_share_the_first_ones_time_and_id() -> None:
    splitter = LineSplitter()
    segments = [*splitter.feed(b"a" * (PIECE + 5), 1), *splitter.feed(b"b" * PIECE, 2), *splitter.feed(b"\nnext\n", 3)]
    pieces = [segment.partial for segment in segments if segment.partial]
    assert [piece.ordinal for piece in pieces] == [1, 2, 3]
    assert [piece.last for piece in pieces] == [False, False, True]
    assert len({piece.id for piece in pieces}) == 1
    assert [segment.timestamp for segment in segments] == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'say "hi" \\ ', b'say \\"hi\\" \\\\ '),
        (b"<a>&", b"\\u003ca\\u003e\\u0026"),
        (b"tab\tcr\r\x1b\x00", b"tab\\u0009cr\\r\\u001b\\u0000"),
        ("grün \u2028".encode(), "grün \\u2028".encode()),
        (b"\xff\xfe ok? <", b"\\ufffd\\ufffd ok? \\u003c"),
    ],
)
def test_text_is_escaped_as_docker_escapes_it(data: bytes, expected: bytes) -> None:
    assert escape(data) == expected


def test_a_json_line_is_dockers(tmp_path: Path) -> None:
    writer = JsonFileWriter(str(tmp_path / "log"), 0, 1, compress=False, attrs={"b": "2", "a": "1"})
    writer.write(1, b"one\\n\ntwo\npart", T)
    writer.write(2, b"err\n", T + 1_000)
    writer.end(1, T + 2_000_000_000)
    writer.close()
    attrs = '"attrs":{"a":"1","b":"2"}'
    assert (tmp_path / "log").read_text() == (
        f'{{"log":"one\\\\n\\n","stream":"stdout",{attrs},"time":"2023-11-14T22:13:20.123456789Z"}}\n'
        f'{{"log":"two\\n","stream":"stdout",{attrs},"time":"2023-11-14T22:13:20.123456789Z"}}\n'
        f'{{"log":"err\\n","stream":"stderr",{attrs},"time":"2023-11-14T22:13:20.123457789Z"}}\n'
        f'{{"log":"part","stream":"stdout",{attrs},"time":"2023-11-14T22:13:22.123456789Z"}}\n'
    )


def test_times_are_gos() -> None:
    assert rfc3339(1_700_000_000_000_000_000) == b"2023-11-14T22:13:20Z"
    assert rfc3339(1_700_000_000_120_000_000) == b"2023-11-14T22:13:20.12Z"
    assert fixed_rfc3339(1_700_000_000_120_000_000) == b"2023-11-14T22:13:20.120000000Z"
    assert decode.parse_time("2023-11-14T22:13:20.12Z") == 1_700_000_000_120_000_000


@given(st.binary(max_size=200), st.integers(0, 2**62))
def test_any_bytes_survive_both_formats(data: bytes, timestamp: int) -> None:
    splitter = LineSplitter()
    segments = [*splitter.feed(data + b"\n", timestamp)]
    records = b"".join(record for segment in segments for record in localfile.encode(2, segment))
    decoder = decode.LocalDecoder()
    entries = [*decoder.feed(records[:7]), *decoder.feed(records[7:])]
    assert b"".join(entry.data for entry in entries) == data + b"\n"
    assert {(entry.timestamp_ns, entry.stream) for entry in entries} == {(timestamp, 2)}
    assert json.loads(b'"' + escape(data).replace(b"\n", b"\\n") + b'"') is not None


def test_a_torn_record_is_skipped() -> None:
    line = b'{"log":"%b\\n","stream":"stderr","time":"2023-11-14T22:13:20Z"}\n'
    entries = decode.JsonDecoder().feed(line % b"a" + line[:20] + b"\n" + b'{"log":1}\n' + line % b"b")
    assert [entry.data for entry in entries] == [b"a\n", b"b\n"]


@pytest.mark.parametrize(("driver", "limit"), [("json-file", 1_000_000), ("local", 1 << 20)])
def test_a_megabyte_is_the_driver_s_own(tmp_path: Path, driver: str, limit: int) -> None:
    writer = open_writer(tmp_path, driver, {"max-size": "1m", "max-file": "2", "compress": "false"})
    line, path = b"x" * 900 + b"\n", writers.path(driver, str(tmp_path), ID)
    while not os.path.exists(f"{path}.1"):
        writer.write(1, line, T)
    writer.close()
    assert 0 <= os.path.getsize(f"{path}.1") - limit < 1100


@pytest.mark.parametrize("driver", ["json-file", "local"])
@pytest.mark.parametrize("compress", ["true", "false"])
async def test_rotated_files_are_read_in_order(tmp_path: Path, driver: str, compress: str) -> None:
    writer = open_writer(tmp_path, driver, {"max-size": "2k", "max-file": "4", "compress": compress})
    for number in range(60):
        writer.write(1, b"line %03d %b\n" % (number, b"x" * 40) * 2, T + number)
    writer.close()
    path = writers.path(driver, str(tmp_path), ID)
    files = rotation.files(path)
    assert len(files) == 4
    assert [name.endswith(".gz") for name in files] == ([compress == "true"] * 3 + [False])
    assert all(os.path.getsize(name) < 2500 for name in files)
    entries = await read_all(tmp_path, driver)
    numbers = [int(entry.data.split()[1]) for entry in entries]
    assert numbers == sorted(numbers) and numbers[-1] == 59 and len(entries) > 30
    for tail in (0, 1, 17, len(entries), 10_000):
        assert await read_all(tmp_path, driver, tail=tail) == entries[max(0, len(entries) - tail) :]
    some = await read_all(tmp_path, driver, since_ns=T + 50, until_ns=T + 52)
    assert {entry.timestamp_ns for entry in some} == {T + 50, T + 51, T + 52}


def test_compressed_files_are_gzip(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc" * 1000)
    rotation.compress(str(path))
    assert gzip.decompress((tmp_path / "f.gz").read_bytes()) == b"abc" * 1000
    assert not path.exists()


@pytest.mark.parametrize("driver", ["json-file", "local"])
async def test_following_loses_nothing_over_rotations(tmp_path: Path, driver: str) -> None:
    stopped = asyncio.Event()
    got: list[bytes] = []
    seen = asyncio.Event()

    async def follow() -> None:
        async for entry in readers.read(driver, {}, str(tmp_path), ID, follow=stopped):
            got.append(entry.data)
            seen.set()

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    writer = open_writer(tmp_path, driver, {"max-size": "4k", "max-file": "3", "compress": "false"})
    expected = []
    for number in range(400):
        expected.append(b"line %d\n" % number)
        writer.write(1, expected[-1], T + number)
        if number % 20 == 0:
            seen.clear()
            await asyncio.wait_for(seen.wait(), 5)
    stopped.set()
    await asyncio.wait_for(task, 5)
    writer.close()
    assert got == expected


def test_none_and_cached_drivers_tell_what_can_be_read() -> None:
    assert readers.format_of("syslog", {}) == "local"
    for driver, config in (("none", {}), ("gelf", {"cache-disabled": "true"})):
        with pytest.raises(errors.NotImplementedHere, match="does not support reading"):
            readers.format_of(driver, config)


@pytest.mark.parametrize(
    ("driver", "config", "text"),
    [
        ("nope", {}, "logger: no log driver named 'nope' is registered"),
        ("json-file", {"max-sze": "1"}, "unknown log opt 'max-sze' for json-file log driver"),
        ("json-file", {"max-size": "1x"}, "invalid suffix: 'x'"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("local", {"mode": "maybe"}, "logger: logging mode not supported: maybe"),
        ("local", {"max-buffer-size": "1m"}, "max-buffer-size option is only supported with 'mode=non-blocking'"),
        ("syslog", {"tag": "{{.Nope}}"}, "Nope"),
    ],
)
def test_wrong_options_are_refused_in_dockers_words(driver: str, config: dict[str, str], text: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        options.validate(driver, config)
    assert text in str(caught.value)


def test_tags_and_attributes() -> None:
    info = LogInfo(
        container_id="0123456789abcdef",
        name="/web",
        image_name="nginx",
        labels={"team": "a", "x": "y"},
        env=["E=1", "F=2"],
    )
    assert info.tag({}) == "0123456789ab"
    assert info.tag({"tag": '{{.ImageName}}/{{.Name}}/{{index .ContainerLabels "team"}}'}) == "nginx/web/a"
    assert info.attributes({"labels": "team,none", "env-regex": "^E"}) == {"team": "a", "E": "1"}
