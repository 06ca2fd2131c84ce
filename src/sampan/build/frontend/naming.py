"""What a step is called: its instruction as written, with what is known of its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PARTS = re.compile(r"""'[^']*'|\\(?P<escaped>.)|\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))""", re.DOTALL)
"""What single quotes hold, an escaped character, a variable."""


def shown_text(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables replaced as BuildKit does for its progress: quotes and unknown names stay."""

    def replaced(found: re.Match[str]) -> str:
        if found["escaped"] is not None:
            return found["escaped"]
        name = found["braced"] or found["plain"]
        return variables.get(name, found[0]) if name else found[0]

    return _PARTS.sub(replaced, text)
