"""Sessions of command lines whose output is compared with Docker's, and what of it may differ.

`sessions/*.txt`: a line is a docker command, without `docker`, behind variables of its environment; NAME is a name that
the session owns, ARCHIVE a file with an image NAME:1 of three platforms and statements about them. Sessions remove what
they make. `record` writes what a real dockerd answered to `golden/`; `test_golden` runs the same against this engine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from msgspec import Struct

from ..support import archives
from ..support.archives import Built

SESSIONS: Final = Path(__file__).parent / "sessions"


FLAGS: Final = {
    "nofirewall": ("--iptables=false", "--ip6tables=false"),
    "settings": (
        "--bip", "10.239.0.1/24", "--fixed-cidr", "10.239.0.128/25", "--mtu", "1400", "--icc=false",
        "--ip", "127.0.0.1", "--default-address-pool", "base=10.240.0.0/16,size=26",
        "--default-address-pool", "base=fd24::/48,size=64",
        "--default-network-opt", "bridge=com.docker.network.driver.mtu=1300", "--host-gateway-ip", "192.0.2.7",
        "--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-opt", "timeout:3", "--userland-proxy=false",
    ),
}  # fmt: skip
"""Sessions that are played on a daemon of their own, with these settings."""


class Answer(Struct):
    """What one line gave."""

    line: str
    status: int
    out: str
    err: str


Docker = Callable[[list[str], list[str]], tuple[int, str, str]]
"""Called with variables (`NAME=value`) and arguments."""

_CHANGES: Final = [
    (re.compile(r"[0-9a-f]{64}"), "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\n+Run 'docker .*\n*"), "\n"),
    (re.compile(r"\bdocker0\b|\bsampan0\b"), "<bridge>"),
    (re.compile(r": unknown(?=\n|$)"), ""),
    (re.compile(r"\b(2[0-9]|[1-9])\d*: eth0"), "<n>: eth0"),
    (re.compile(r'"Runtime":"(runc|sampan)"'), '"Runtime":"<default>"'),
    (re.compile(r"(/sbin/docker-init --.*|\{sampan-init\}.*)"), "<init>"),
    (re.compile(r"eth0@if\d+"), "eth0"),
]
"""Ids and times, the name of the default bridge, and what Docker's own releases word differently."""


_VARIABLE: Final = re.compile("[A-Z_]+=")


def normalise(text: str, name: str) -> str:
    """The output with what is accidental replaced."""
    for pattern, shown in _CHANGES:
        text = pattern.sub(shown, text)
    return text.replace(name, "NAME").strip("\n")


def sessions() -> list[str]:
    """The names of all sessions."""
    return sorted(path.stem for path in SESSIONS.glob("*.txt"))


def play(session: str, docker: Docker, name: str) -> list[Answer]:
    """Run a session's lines one after the other."""
    answers = []
    with NamedTemporaryFile(suffix=".tar") as archive:
        archive.write(_platforms(name))
        archive.flush()
        for line in (SESSIONS / f"{session}.txt").read_text().splitlines():
            words = shlex.split(line.replace("NAME", name).replace("ARCHIVE", archive.name))
            variables = list(takewhile(_VARIABLE.match, words))
            status, out, err = docker(variables, words[len(variables) :])
            answers.append(Answer(line, status, normalise(out, name), normalise(err, name)))
    return answers


def _platforms(name: str) -> bytes:
    images = (
        Built([archives.tree({"f": platform.encode()})], platform, {"of": platform})
        for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7")
    )
    return archives.buildx_oci(f"docker.io/library/{name}:1", *images)
