"""Every version's documents have the fields that Docker's have."""

from __future__ import annotations

import msgspec

from ..support.daemon import Daemon
from .shapes import GOLDEN, Shapes, container, shapes

ALLOWED = ("[].Labels.*", ".Images[].Labels.*", ".RepoDigests")
"""Of images that the peer does not have."""


def test_documents_have_dockers_fields(daemon: Daemon, name: str) -> None:
    golden = msgspec.json.decode(GOLDEN.read_bytes(), type=Shapes)
    daemon.ok(*container(name))
    try:
        ours = shapes(daemon.socket, name)
    finally:
        daemon.ok("rm", "-f", name)
        daemon.ok("volume", "rm", name)
    differences = [
        f"{version} {path} {sign}{field}"
        for version, documents in golden.items()
        for path, theirs in documents.items()
        for sign, some in (
            ("-", set(theirs) - set(ours[version][path])),
            ("+", set(ours[version][path]) - set(theirs)),
        )
        for field in sorted(some)
        if field not in ALLOWED
    ]
    assert not differences, "\n".join(differences)
