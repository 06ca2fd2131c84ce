"""Both clients against recorded answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sampan import errors
from sampan.client.aio import AsyncClient
from sampan.client.api import Api
from sampan.client.call import encode_query
from sampan.client.origin import from_daemon
from sampan.client.sync import Client
from sampan.client.target import Target

from ...support.replay import Answer, Replay

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n"
FRAMES = b"\1\0\0\0\0\0\0\2hi\2\0\0\0\0\0\0\1e"
ANSWERS = (
    Answer("GET /containers/json", [{"Id": "a"}]),
    Answer("GET /info", {"message": "no"}, 500),
    Answer("GET /containers/x/json", {"message": "No such container: x"}, 404),
    Answer("POST /containers/x/stop", status=304),
    Answer("POST /containers/x/start", {"message": "port is taken"}, 409),
    Answer("POST /containers/create", {"Id": "new", "Warnings": None}, 201),
    Answer("GET /events", chunks=[b'{"time":1}\n{"ti', b'me":2}\n', b'{"time":3}']),
    Answer("GET /images/get", chunks=[b"abc", b"de"]),
    Answer("POST /images/load", chunks=[b'{"stream":"ok"}\r\n']),
    Answer("POST /containers/x/attach", raw=UPGRADED + FRAMES),
    Answer("GET /volumes", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    Answer("GET /networks", raw=b"nonsense\r\n\r\n"),
)


@pytest.fixture
def replay(tmp_path: Path) -> Any:
    with Replay(tmp_path, *ANSWERS) as server:
        yield server


def test_values_errors_and_reuse_of_one_connection(replay: Replay) -> None:
    with Client(replay.url) as client:
        assert client.container_list(all=True, filters={"name": ["a"]}) == [{"Id": "a"}]
        assert client.container_create({"Image": "i"}, "n")["Id"] == "new"
        client.container_stop("x", timeout=3)
        with pytest.raises(errors.NotFound, match="No such container: x") as caught:
            client.container_inspect("x")
        assert from_daemon(caught.value)
        with pytest.raises(errors.Conflict):
            client.container_start("x")
        with pytest.raises(errors.SampanError, match="no"):
            client.info()
    assert replay.requests == [
        "HEAD /_ping",
        "GET /v1.51/containers/json?all=1&filters=%7B%22name%22%3A%5B%22a%22%5D%7D",
        "POST /v1.51/containers/create?name=n",
        "POST /v1.51/containers/x/stop?t=3",
        "GET /v1.51/containers/x/json",
        "POST /v1.51/containers/x/start",
        "GET /v1.51/info",
    ]
    assert replay.bodies[2] == b'{"Image":"i"}'


def test_streams(replay: Replay) -> None:
    with Client(replay.url) as client:
        assert [event["time"] for event in client.events()] == [1, 2, 3]
        assert b"".join(client.image_save(["a", "b"])) == b"abcde"
        assert list(client.image_load(iter([b"tar", b"", b"ball"]))) == [{"stream": "ok"}]
        hijacked = client.container_attach("x")
        assert list(hijacked.frames()) == [(1, b"hi"), (2, b"e")]
        hijacked.close()
    assert b"tarball" in replay.bodies
    assert "GET /v1.51/images/get?names=a&names=b" in replay.requests


def test_broken_answers(replay: Replay) -> None:
    with Client(replay.url) as client:
        with pytest.raises(errors.SampanError, match="unexpected EOF"):
            client.volume_list()
        with pytest.raises(errors.Unavailable, match="not an HTTP response"):
            client.network_list()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match="Is the sampan daemon running"):
        Client(f"unix://{tmp_path}/none").ping()


async def test_async_client(replay: Replay) -> None:
    async with AsyncClient(replay.url) as client:
        assert await client.container_list() == [{"Id": "a"}]
        with pytest.raises(errors.NotFound):
            await client.container_inspect("x")
        assert [event["time"] async for event in client.events()] == [1, 2, 3]
        assert b"".join([piece async for piece in client.image_save(["a"])]) == b"abcde"
        assert [message async for message in client.image_load(iter([b"tar"]))] == [{"stream": "ok"}]
        hijacked = await client.container_attach("x")
        assert [frame async for frame in hijacked.frames()] == [(1, b"hi"), (2, b"e")]
        await hijacked.close()
        with pytest.raises(errors.SampanError, match="unexpected EOF"):
            await client.volume_list()


def test_both_clients_have_the_same_methods() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")} - {"close", "clone", "begin", "target"}

    assert names(Client) == names(AsyncClient)
    assert names(Api) < names(Client)
    assert all(inspect.getattr_static(Api, name) is not None for name in names(Api))


def test_the_types_of_one_endpoint_on_both_clients() -> None:
    """Read by mypy: the same name gives a value here and an awaitable there."""
    list_now: Callable[..., list[Any]] = Client("unix:///none").container_list
    list_later: Callable[..., Awaitable[list[Any]]] = AsyncClient("unix:///none").container_list
    assert list_now is not list_later


def test_query_encoding() -> None:
    query = {"a": True, "b": False, "c": None, "d": 0, "e": ["x", "y z"], "f": {"k": ["v"]}}
    assert encode_query(query) == "a=1&d=0&e=x&e=y%20z&f=%7B%22k%22%3A%5B%22v%22%5D%7D"


@pytest.mark.parametrize(
    ("url", "host", "port", "base"),
    [
        ("tcp://h:1", "h", 1, ""),
        ("tcp://h", "h", 2375, ""),
        ("tcp://[::1]:9/x/", "::1", 9, "/x"),
        ("https://h", "h", 2376, ""),
        ("tcp://:5", "127.0.0.1", 5, ""),
    ],
)
def test_targets(url: str, host: str, port: int, base: str) -> None:
    target = Target(url)
    assert (target.host, target.port, target.base) == (host, port, base)


@pytest.mark.parametrize("url", ["", "h:1", "ftp://h", "tcp://h:x"])
def test_targets_that_are_none(url: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        Target(url)
