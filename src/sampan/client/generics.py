"""What generic classes need of `typing` when they run: nothing. Importing it takes as long as an interpreter."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

P = T = None


class Generic:
    """Takes parameters, which are for type checkers."""

    def __class_getitem__(cls, parameters: Any) -> type:
        return cls


def overload(function: Any) -> Any:
    return function
