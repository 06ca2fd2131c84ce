"""Record what buildx prints of bake files: `python -m tests.compat.build.record_bake`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ...support.peer import Peer
from .bake_cases import BAKES, FILES, BakeCase

GOLDENS = Path(__file__).parent.parent / "golden" / "bake.json"


def write_files(directory: Path) -> None:
    """The files of all cases."""
    for name, content in FILES.items():
        (directory / name).write_text(content)


def answer(status: int, out: str, err: str) -> Any:
    """The document that was printed, or the last word of the refusal."""
    if status == 0:
        return json.loads(out)
    return err.strip().splitlines()[-1].removeprefix("ERROR: ")


def _printed(peer: Peer, directory: Path, case: BakeCase) -> Any:
    environment = [f"{name}={value}" for name, value in case.env.items()]
    words = [
        "env", "-i", "PATH=/usr/bin:/bin", f"HOME={peer.state}", f"DOCKER_HOST={peer.url}", *environment,
        "sh", "-c", 'cd "$0" && exec docker buildx bake --print "$@"', str(directory), *case.words,
    ]  # fmt: skip
    done = subprocess.run(peer.inside(*words), capture_output=True, text=True, check=False)
    return answer(done.returncode, done.stdout, done.stderr)


def main() -> None:
    peer = Peer().start()
    try:
        directory = peer.state / "bake"
        directory.mkdir()
        write_files(directory)
        version = subprocess.run(peer.inside("docker", "buildx", "version"), capture_output=True, text=True, check=True)
        found = {case.name: _printed(peer, directory, case) for case in BAKES}
        GOLDENS.write_text(json.dumps({"version": version.stdout.split()[1], "printed": found}, indent=1) + "\n")
    finally:
        peer.close()


if __name__ == "__main__":
    main()
