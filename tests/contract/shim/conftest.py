from __future__ import annotations

from tests.support.shimhost import host

__all__ = ["host"]
