"""Targets that odd clients and proxies send, on an engine at rest."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sampan.api.app import App
from tests.support import rest

END = "\r\n"
Ask = Callable[[str], Awaitable[tuple[str, str]]]


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Ask]:
    """Gives the head and the body of the answer to a request line and what follows it."""
    async with rest.engine(tmp_path) as engine:
        await rest.container(engine)
        app = App(engine, lambda: None)

        async def asked(request: str) -> tuple[str, str]:
            ours, theirs = socket.socketpair()
            await asyncio.get_running_loop().create_unix_connection(app.connection, sock=theirs)
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            line, _, fields = request.partition("\r\n")
            writer.write(f"{line} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{fields or END}".encode("latin-1"))
            answer = (await reader.read()).decode()
            writer.close()
            head, _, body = answer.partition("\r\n\r\n")
            return head, body

        yield asked


@pytest.mark.parametrize("target", ["http://docker/_ping", "HTTP://[::1]:2375/v1.41/_ping"])
async def test_the_absolute_form_is_that_of_a_proxy(ask: Ask, target: str) -> None:
    assert (await ask(f"GET {target}"))[1] == "OK"


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        ("//v1.41/_ping", "/v1.41/_ping"),
        ("/v1.41//containers//json?all=1", "/v1.41/containers/json?all=1"),
        ("/containers/../version", "/version"),
        ("//nosuch//", "/nosuch/"),
    ],
)
async def test_empty_and_dot_segments_are_sent_to_the_plain_path(ask: Ask, target: str, plain: str) -> None:
    head, _ = await ask(f"GET {target}")
    assert head.startswith("HTTP/1.1 301 Moved Permanently")
    assert f"Location: {plain}\r\n" in head


@pytest.mark.parametrize("target", ["/", "/_ping/", "/nosuch"])
async def test_other_paths_are_not_found(ask: Ask, target: str) -> None:
    assert "page not found" in (await ask(f"GET {target}"))[1]


async def test_options_tell_that_somebody_is_there(ask: Ask) -> None:
    assert (await ask("OPTIONS /"))[0].startswith("HTTP/1.1 200 OK")


async def test_an_upgrade_without_the_token_of_the_connection(ask: Ask) -> None:
    head, _ = await ask("POST /containers/box/attach?stdout=1\r\nUpgrade: tcp\r\n\r\n")
    assert head.startswith("HTTP/1.1 101 UPGRADED")


async def test_sizes_are_named_as_docker_names_them(ask: Ask) -> None:
    head, answer = await ask("GET /containers/box/json?size=1")
    assert '"SizeRw":0,"SizeRootFs":' in answer, head


async def test_a_form_says_what_to_pull(ask: Ask) -> None:
    form = "fromImage=127.0.0.1:1/x&tag=1"
    fields = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    head, answer = await ask(f"POST /images/create\r\n{fields}{form}")
    assert head.startswith("HTTP/1.1 500 ") and "connection refused" in answer


@pytest.mark.parametrize(("version", "warned"), [("1.43", False), ("1.44", True)])
async def test_the_containers_own_mac_address_is_deprecated(ask: Ask, version: str, warned: bool) -> None:
    body = '{"Image":"base","Cmd":["true"],"MacAddress":"02:42:ac:11:00:99","HostConfig":{"NetworkMode":"none"}}'
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    _, answer = await ask(f"POST /v{version}/containers/create\r\n{fields}{body}")
    assert ("The container-wide MacAddress field is now deprecated." in answer) == warned, answer


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"null", "config cannot be empty in order to create a container"),
        (b"[]", "invalid JSON: json: cannot unmarshal array into Go value of type CreateRequest"),
        (b"{", "invalid JSON: unexpected EOF"),
        (b'{"Image":"nosuch"} x', "unexpected content after JSON"),
        (b'{"Image":"nosuch","Labels":{"a":"\xff"}}', "No such image: nosuch:latest"),
    ],
)
async def test_bodies_that_are_no_good_json(ask: Ask, body: bytes, text: str) -> None:
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    assert text in (await ask(f"POST /containers/create\r\n{fields}{body.decode('latin-1')}"))[1]
