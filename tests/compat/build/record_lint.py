"""Record what `docker build --check` of a real BuildKit finds: `python -m tests.compat.build.record_lint`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ...support.peer import Peer
from .lint_cases import IGNORED, LINTS

GOLDENS = Path(__file__).parent.parent / "golden" / "lint.json"
Found = list[tuple[str, int, str]]


def write_context(directory: Path, dockerfile: str) -> None:
    """The context of a case."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {"Dockerfile": dockerfile, ".dockerignore": IGNORED}.items():
        (directory / name).write_text(content)
    for name in ("a.txt", "keep.md", "other.md", "secret"):
        (directory / name).touch()


def _findings(document: dict[str, Any]) -> Found:
    return sorted((one["ruleName"], _line(one), one["detail"]) for one in document.get("warnings") or ())


def _line(warning: dict[str, Any]) -> int:
    ranges = warning["location"]["ranges"]
    return int(ranges[0]["start"]["line"]) if ranges else 0


def main() -> None:
    peer = Peer().start()
    peer.load_busybox()
    found = {}
    try:
        for name, dockerfile in LINTS.items():
            directory = peer.state / f"lint-{name}"
            write_context(directory, dockerfile)
            command = peer.inside("env", f"HOME={peer.state}", "docker", "-H", peer.url, "build",
                                  "--call=check,format=json", str(directory))  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found[name] = _findings(json.loads(done.stdout)) if done.stdout else done.stderr.strip().splitlines()[-1]
    finally:
        GOLDENS.write_text(json.dumps(found, indent=1) + "\n")
        peer.close()


if __name__ == "__main__":
    main()
