"""The image builder: graph, solver, cache, executors. `sampan.build(engine, …)` builds (embedding.py)."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The package and its function have one name for those who embed: `sampan.build` is this module once imported."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from .embedding import build

        return build(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
