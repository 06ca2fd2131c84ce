"""Credentials that a client sends with a short name go to the registry that it meant, not to the one asked first."""

from __future__ import annotations

import pytest

from sampan.api.registry import _credentials_for
from sampan.registry.config import ANONYMOUS, AuthConfig


@pytest.mark.parametrize(
    ("name", "server", "receives"),
    [
        ("docker.io/library/busybox", "https://index.docker.io/v1/", {"docker.io"}),
        ("busybox", "", {"docker.io"}),
        ("team/app", "reg.example:5000", {"reg.example:5000"}),
        ("team/app", "https://reg.example:5000/v2/", {"reg.example:5000"}),
        ("reg.example:5000/app", "", {"reg.example:5000", "docker.io", "other.example"}),  # only its own is asked
    ],
)
async def test_who_gets_them(name: str, server: str, receives: set[str]) -> None:
    sent = AuthConfig(username="ann", password="secret", serveraddress=server)
    given = _credentials_for(sent, name)
    for domain in ("docker.io", "reg.example:5000", "other.example"):
        assert await given(domain) == (sent if domain in receives else ANONYMOUS)
