"""userns-remap: whose ids, in Docker's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.daemon import remap
from sampan.errors import InvalidArgument
from sampan.model.idmap import IdMap, IdRange


@pytest.mark.parametrize(
    ("setting", "user"),
    [("", ""), ("nobody:nogroup", "nobody"), ("65534:65534", "nobody"), ("nobody:65534", "nobody"), ("0", "root")],
)
def test_users(setting: str, user: str) -> None:
    assert remap.resolve(setting) == user


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("a:b:c", 'Invalid user/group specification in --userns-remap: "a:b:c"'),
        ("nosuch", 'Error during uid lookup for "nosuch"'),
        ("nobody", 'Error during gid lookup for "nobody"'),
        ("4242424", "Uid 4242424 has no entry in /etc/passwd"),
        ("nobody:nosuch", 'Error during gid lookup for "nosuch"'),
        ("nobody:4242424", "Gid 4242424 has no entry in /etc/passwd"),
    ],
)
def test_refusals(setting: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        remap.resolve(setting)


def test_ranges_lie_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_text("other:1:5\nnobody:100000:10\n# a remark\n65534:300000:20\n")
    found = remap.ranges(str(path), "subuid", "nobody")
    assert found == (IdRange(0, 100000, 10), IdRange(10, 300000, 20))
    ids = IdMap(found, found)
    assert ids.to_host(12, 3) == (300002, 100003)
    assert ids.to_container(300002, 5) == (12, 65534)
    with pytest.raises(InvalidArgument, match='no subuid ranges found for user "daemon"'):
        remap.ranges(str(path), "subuid", "daemon")
