"""The system tests' daemon, for comparisons too."""

from __future__ import annotations

from tests.system.conftest import _shared, daemon, make_daemon, name

__all__ = ["_shared", "daemon", "make_daemon", "name"]
