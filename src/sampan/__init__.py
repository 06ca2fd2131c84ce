"""Sampan: a container engine. Images, containers, registries; see docs/ARCHITECTURE.md.

`sampan.Engine`, `sampan.EngineConfig` and `sampan.run` embed the engine in a program (docs/embedding.md). They are
loaded when first asked for, because client, shim and runtime import this package and are to start fast.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # typing is 1.7 MB, and would be in every shim

__version__ = "0.1.0"

_EMBEDDING = {
    "Engine": "sampan.engine.engine",
    "EngineConfig": "sampan.engine.config",
    "build": "sampan.build.embedding",
    "run": "sampan.engine.run",
}


def __getattr__(name: str) -> Any:
    if name in _EMBEDDING:
        from importlib import import_module

        return getattr(import_module(_EMBEDDING[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
