"""C values and calls through `_ctypes`, the C half of `ctypes`.

The other half makes thirty types of which we use eight; importing it is 3 ms of every sampan-runc and daemon.
"""

from __future__ import annotations

from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    RTLD_LOCAL,
    Array,
    CFuncPtr,
    Structure,
    _SimpleCData,
    addressof,
    byref,
    dlopen,
    get_errno,
    sizeof,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _simple(letter: str) -> Any:
    """A type by its letter of the module struct; the widths are C's on this machine."""
    kind: Any = type(_SimpleCData)
    return kind(f"c_{letter}", (_SimpleCData,), {"_type_": letter})


c_char, c_int, c_uint, c_ushort, c_long, c_ulong, c_uint64, c_char_p, c_void_p = map(_simple, "ciIHlLQzP")
c_uint32 = c_uint
c_size_t = c_ulong


class _Releasing(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class _Keeping(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _restype_ = c_int


class Library:
    """The functions of a shared library, by name: they give an int unless `restype` is set; None: of this process.

    `keep_lock`: calls keep the interpreter lock.
    """

    def __init__(self, name: str | None = None, *, keep_lock: bool = False) -> None:
        self._handle = dlopen(name, RTLD_LOCAL)  # type: ignore[arg-type] # None is allowed: dlopen(3)
        self._kind = _Keeping if keep_lock else _Releasing

    def __getattr__(self, name: str) -> Any:
        function = self._kind((name, self))  # type: ignore[arg-type] # it reads `_handle`, as of a CDLL
        setattr(self, name, function)
        return function


def buffer(content: bytes) -> Array[Any]:
    """Memory of our own that holds `content`."""
    memory: Array[Any] = (c_char * len(content))()
    memory.raw = content
    return memory


__all__ = [
    "Array", "Library", "Structure", "addressof", "buffer", "byref", "c_char", "c_char_p", "c_int", "c_long",
    "c_size_t", "c_uint", "c_uint32", "c_uint64", "c_ulong", "c_ushort", "c_void_p", "get_errno", "sizeof",
]  # fmt: skip
