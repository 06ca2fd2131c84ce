"""Which fields the API's documents have, by version: recorded from dockerd, compared with ours.

`python -m tests.compat.shapes SOCKET` records them to `golden/shapes.json`; it makes one container and removes it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

GOLDEN: Final = Path(__file__).parent / "golden" / "shapes.json"
VERSIONS: Final = ("1.24", "1.40", "1.43", "1.44", "1.47", "1.49", "1.50", "1.51")
PATHS: Final = (
    "/info", "/version", "/containers/json", "/containers/NAME/json", "/images/json", "/images/busybox/json",
    "/images/busybox/history", "/networks/bridge", "/volumes", "/system/df",
)  # fmt: skip
FREE: Final = (
    "Runtimes",
    "IndexConfigs",
    "Labels",
    "Data",
    "Networks",
    "Containers",
    "Options",
    "Ports",
    "ExposedPorts",
)
"""Objects whose names are data."""

OWN: Final = ("Runtimes", "BuildCache", "Containerd", "Warnings", "Components", "DefaultAddressPools")
"""Parts that tell of the engine itself, or of what else it holds."""

Shapes = dict[str, dict[str, list[str]]]


def fields(value: Any, path: str = "") -> set[str]:
    """Paths of all fields of a document, `[]` for every element of a list."""
    found: set[str] = set()
    if isinstance(value, dict):
        free = path.rpartition(".")[2] in FREE
        for name, held in value.items():
            if name in OWN:
                continue
            inner = f"{path}.*" if free else f"{path}.{name}"
            found |= {inner} | fields(held, inner)
    elif isinstance(value, list):
        for held in value:
            found |= fields(held, f"{path}[]")
    return found


def shapes(socket: str, name: str) -> Shapes:
    """By version and path."""
    return {
        version: {path: sorted(fields(_get(socket, f"/v{version}{path}".replace("NAME", name)))) for path in PATHS}
        for version in VERSIONS
    }


def _get(socket: str, path: str) -> Any:
    argv = ["curl", "-sf", "-g", "--unix-socket", socket, f"http://d{path}"]
    return msgspec.json.decode(subprocess.run(argv, check=True, capture_output=True).stdout)


def container(name: str) -> list[str]:
    """The command that makes the container whose documents are compared."""
    return ["run", "-d", "--name", name, "-p", "80", "-v", f"{name}:/x", "-l", "a=b", "busybox", "sleep", "500"]


def main(socket: str) -> None:
    docker, name = ["docker", "-H", f"unix://{socket}"], "shapes"
    subprocess.run([*docker, *container(name)], check=True, capture_output=True)
    try:
        GOLDEN.write_bytes(msgspec.json.format(msgspec.json.encode(shapes(socket, name)), indent=1) + b"\n")
    finally:
        subprocess.run([*docker, "rm", "-f", name], check=True, capture_output=True)
        subprocess.run([*docker, "volume", "rm", name], check=True, capture_output=True)


if __name__ == "__main__":
    main(sys.argv[1])
