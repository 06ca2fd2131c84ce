"""crypt(3) of libxcrypt: bcrypt, SHA-2 and yescrypt hashes. Python's own `crypt` is gone from 3.13 on."""

from __future__ import annotations

import ctypes
import ctypes.util
import hmac

_DATA_SIZE = 32768
"""sizeof(struct crypt_data), crypt.h of libxcrypt."""


def verify(password: str, hashed: str) -> bool:
    """Whether the password has this hash; takes as long as the hash was made to take. False for unknown kinds."""
    library = ctypes.CDLL("libcrypt.so.1", use_errno=True)
    library.crypt_r.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
    library.crypt_r.restype = ctypes.c_char_p
    data = ctypes.create_string_buffer(_DATA_SIZE)
    result: bytes | None = library.crypt_r(password.encode(), hashed.encode(), data)
    return result is not None and not result.startswith(b"*") and hmac.compare_digest(result, hashed.encode())
