"""`POST /build?version=`: 1 is the classic stream, 2 BuildKit's messages, as dockerd 28.5 answers without a session."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

from sampan.buildkit.proto.control_pb2 import StatusResponse

from ...support.daemon import Daemon
from .contexts import write_context


def _post(daemon: Daemon, where: str, query: str) -> list[dict[str, Any]]:
    archive = f"{where}.tar"
    subprocess.run(["tar", "-C", where, "-cf", archive, "."], check=True)
    done = daemon.run("curl", "-s", "--unix-socket", daemon.socket, "-H", "Content-Type: application/x-tar",
                      "--data-binary", f"@{archive}", f"http://d/build?{query}")  # fmt: skip
    return [json.loads(line) for line in done.out.splitlines()]


def _traced(lines: list[dict[str, Any]]) -> list[StatusResponse]:
    traces = [line["aux"] for line in lines if line.get("id") == "moby.buildkit.trace"]
    return [StatusResponse.FromString(b64decode(trace)) for trace in traces]


def test_buildkits_messages(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(tmp_path / "c", f"FROM busybox\nRUN echo {name}\nCOPY f /\n", f=name)
    lines = _post(daemon, where, f"version=2&t={name}:1")
    image = daemon.ok("inspect", "-f", "{{.Id}}", f"{name}:1")
    assert lines[-1] == {"id": "moby.image.id", "aux": {"ID": image}}
    told = _traced(lines)
    assert len(told) == len(lines) - 1
    names = {vertex.name for response in told for vertex in response.vertexes if vertex.HasField("completed")}
    assert {f"[2/3] RUN echo {name}", "[3/3] COPY f /", "exporting to image"} <= names
    assert f"{name}\n".encode() in [entry.msg for response in told for entry in response.logs]
    statuses = {status.ID for response in told for status in response.statuses}
    assert {f"writing image {image}", f"naming to docker.io/library/{name}:1"} <= statuses
    assert _post(daemon, where, "version=2&q=1") == [{"stream": f"{image}\n"}]
    (tmp_path / "c/Dockerfile").write_text(f"FROM busybox\nRUN echo {name}; exit 3\n")
    for query in ("version=2", "version=2&q=1"):
        *traces, failed = _post(daemon, where, query)
        assert _traced(traces), "a quiet build that fails tells all the same"
        text = f'process "/bin/sh -c echo {name}; exit 3" did not complete successfully: exit code: 3'
        assert failed == {"errorDetail": {"message": text}, "error": text}


def test_what_there_is_not(daemon: Daemon, tmp_path: Path) -> None:
    where = write_context(tmp_path / "c", "FROM scratch\nLABEL a=b\n")
    assert _post(daemon, where, "version=3") == [{"message": 'invalid version "3"'}]
    (refused,) = _post(daemon, where, "version=1&remote=client-session")
    assert refused["message"].startswith("experimental session with v1 builder is no longer supported")
