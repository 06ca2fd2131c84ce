"""What buildx's protocol costs before anybody speaks it, and that compiled messages are those of their sources."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def output(*arguments: str) -> str:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_idle_daemon_knows_no_grpc() -> None:
    script = "import sys, sampan.daemon.serve; print({'grpclib', 'h2', 'google'} & set(sys.modules))"
    assert output("-c", script) == "set()\n"


def test_messages_are_compiled_from_their_sources() -> None:
    """`make proto` was run after the last change."""
    assert output("-m", "tools.proto", "--check") == ""
