"""From the kind of an error to its HTTP status, in one place."""

from __future__ import annotations

from typing import Final

from .. import errors
from .http1 import TooLarge

STATUS: Final[dict[type[errors.SampanError], int]] = {
    TooLarge: 413,
    errors.NotModified: 304,
    errors.InvalidArgument: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotAllowed: 405,
    errors.Conflict: 409,
    errors.NotImplementedHere: 501,
    errors.Unavailable: 503,
    errors.DataLoss: 500,
}


def status_of(error: errors.SampanError) -> int:
    """The status of the nearest kind; 500 for an error without a meaning of its own."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500
