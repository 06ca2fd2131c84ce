"""What an idle daemon does without: modules of the standard library that others import at their top.

asyncio loads `ssl` and with it OpenSSL, 5 MB that only a listener or a registry with TLS uses. PEP 690 would have let
imports wait for their first use; here a stand-in does, until one of its attributes is asked for.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock
from importlib import import_module
from types import ModuleType

_UNUSED = (
    "ssl", "asyncio.sslproto", "hashlib",  # asyncio: OpenSSL
    "inspect", "ast",  # asyncio, dataclasses: coroutine functions, signatures of classes without a docstring
    "locale", "textwrap",  # subprocess where output is text, tracebacks
    "secrets", "tempfile", "shutil", "bz2", "lzma",  # ours, and what they import
)  # fmt: skip
_lock = allocate_lock()


class _StandIn(ModuleType):
    """Gives the attributes of the module, which it imports with the first of them."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)  # the import system's own questions
        with _lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def defer() -> None:
    """To be called before anything else is imported."""
    for name in _UNUSED:
        sys.modules.setdefault(name, _StandIn(name))
    import asyncio

    asyncio.sslproto = sys.modules["asyncio.sslproto"]  # type: ignore[attr-defined] # as an import of the real one does
    # msgspec asks for it, and does without.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment] # «not there» to the import system
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]
