"""crypt(3) of libxcrypt: bcrypt, SHA-2 and yescrypt hashes. Python's own `crypt` is gone from 3.13 on."""

from __future__ import annotations

import hmac

from . import cdata

_DATA_SIZE = 32768
"""sizeof(struct crypt_data), crypt.h of libxcrypt."""


def verify(password: str, hashed: str) -> bool:
    """Whether the password has this hash; takes as long as the hash was made to take. False for unknown kinds."""
    library = cdata.Library("libcrypt.so.1")
    library.crypt_r.argtypes = [cdata.c_char_p, cdata.c_char_p, cdata.c_void_p]
    library.crypt_r.restype = cdata.c_char_p
    data = cdata.buffer(bytes(_DATA_SIZE))
    result: bytes | None = library.crypt_r(password.encode(), hashed.encode(), data)
    return result is not None and not result.startswith(b"*") and hmac.compare_digest(result, hashed.encode())
