"""The registry's pages, read as a browser would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest

from sampan.engine import images as use
from sampan.engine.push import PushRequest, push
from sampan.oci import reference
from sampan.registry.server.config import ServerConfig, TokenAuth
from sampan.registry.server.run import serving
from tests.support import archives
from tests.support.archives import Built
from tests.support.imagehost import Host, body

PLATFORMS = ("linux/amd64", "linux/arm64")
_EMPTY = {"meta", "br"}


class Page(HTMLParser):
    """Tables, definitions and links of a page; refuses tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.texts: dict[str, list[str]] = {}
        self.links: dict[str, str] = {}
        self._open: list[str] = []
        self._target = ""
        self.feed(text)
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "img"), "no page has these"
        if tag in _EMPTY:
            return
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "a":
            self._target = dict(attrs)["href"] or ""
        elif tag in ("h1", "h2", "dt", "dd", "pre", "p", "title"):
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
        elif (inside := next((tag for tag in reversed(self._open) if tag in self.texts), "")) and self.texts[inside]:
            self.texts[inside][-1] += data
        if "a" in self._open:
            self.links[data] = self._target


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[str]:
    """With an index of two platforms and its attestations as team/app:1 and :2, and a hostile image."""
    async with serving(ServerConfig(f"{tmp_path}/r", host="127.0.0.1", port=0)) as (_, port):
        address, host = f"127.0.0.1:{port}", Host(tmp_path / "host")
        images = [
            Built([archives.tree({"f": one.encode() * 900})], one, {"of": one})
            for one in ("linux/amd64", "linux/arm64")
        ]
        await send(host, archives.buildx_oci("docker.io/library/app:1", *images), "app:1", f"{address}/team/app:1")
        await send(host, archives.buildx_oci("docker.io/library/app:1", *images), "app:1", f"{address}/team/app:2")
        hostile = Built([archives.tree({"f": b""})], labels={"<script>alert(1)</script>": '"><img src=x>'})
        await send(host, archives.kaniko("evil:1", hostile), "evil:1", f"{address}/evil:1")
        yield address


async def send(host: Host, archive: bytes, name: str, target: str) -> None:
    await use.load(host, body(archive), lambda _: None)
    use.tag(host, name, target)
    await push(host, PushRequest(reference.parse(target)), lambda _: None)


async def look(address: str, path: str, authorization: str = "") -> Page:
    headers = {"Authorization": authorization} if authorization else {}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"http://{address}{path}") as answer:
        assert answer.status == 200 and answer.content_type == "text/html"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return Page(await answer.text())


async def test_a_visitor_finds_the_way_to_the_layers(registry: str) -> None:
    front = await look(registry, "/")
    assert front.rows[0] == ["Repository", "Tags", "Names", "Size", "Pushed"]
    assert [row[:3] for row in front.rows[1:]] == [["evil", "1", "1"], ["team/app", "2", "1, 2"]]
    assert all(row[3].endswith(("\xa0B", "\xa0kB")) and row[4].startswith("20") for row in front.rows[1:])
    tags = await look(registry, front.links["team/app"])
    assert tags.texts["pre"] == [f"docker pull {registry}/team/app:TAG"]
    assert [(row[0], row[2]) for row in tags.rows[1:]] == [
        ("1", "linux/amd64, linux/arm64"),
        ("2", "linux/amd64, linux/arm64"),
    ]
    index = await look(registry, tags.links[tags.rows[1][1]])
    assert [row[0].partition(" of ")[0] for row in index.rows[1:]] == ["linux/amd64", "linux/arm64"] + [
        "attestation"
    ] * 2
    assert "not here" not in [row[2] for row in index.rows]
    image = await look(registry, index.links[index.rows[1][1]])
    facts = dict(zip(image.texts["dt"], image.texts["dd"], strict=True))
    assert (facts["Platform"], facts["Cmd"], facts["Labels"]) == ("linux/amd64", "/f", "of=linux/amd64")
    assert facts["Created"] == archives.TIME
    assert [row[:2] for row in image.rows] == [["", "Created by"], ["1", "COPY"]]
    assert image.links["team/app"] == "/r/team/app" and image.links["Registry"] == "/"


async def test_a_hostile_image_is_but_text(registry: str) -> None:
    tags = await look(registry, "/r/evil")
    page = await look(registry, tags.links[tags.rows[1][1]])
    assert '<script>alert(1)</script>="><img src=x>' in page.texts["dd"]
    async with aiohttp.ClientSession() as http:
        for path in ("/r/none", "/r/evil@sha256:00", "/r/evil@../../x", f"/r/evil@sha256:{'0' * 64}", "/r/../../etc"):
            async with http.get(f"http://{registry}{path}") as answer:
                assert answer.status == 404, path


@pytest.mark.parametrize("token", [None, TokenAuth()])
async def test_users_see_it_with_their_password(tmp_path: Path, token: TokenAuth | None) -> None:
    (tmp_path / "users").write_text("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    config = ServerConfig(f"{tmp_path}/r", host="127.0.0.1", port=0, htpasswd=f"{tmp_path}/users", token=token)
    async with serving(config) as (_, port):
        page = await look(f"127.0.0.1:{port}", "/", "Basic Ym9iOnNlY3JldA==")
        assert "Nothing here yet." in page.texts["p"]
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Basic")
