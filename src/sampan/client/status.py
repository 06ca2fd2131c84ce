"""A response's status turned back into the class of error that the engine raised."""

from __future__ import annotations

from sampan import errors
from sampan.rpc import documents

from .origin import FROM_DAEMON

FIRST_ERROR = 400
"""304 is no failure: the thing already is as asked for (start, stop)."""
ERRORS: dict[int, type[errors.SampanError]] = {
    400: errors.InvalidArgument,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.NotAllowed,
    409: errors.Conflict,
    501: errors.NotImplementedHere,
    503: errors.Unavailable,
}


def daemon_error(status: int, body: bytes) -> errors.SampanError:
    """The error of a response; `from_daemon` is set so that a command can say where it came from."""
    error = ERRORS.get(status, errors.SampanError)(_message(status, body))
    error.add_note(FROM_DAEMON)
    return error


def _message(status: int, body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        message = documents.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return text or f"request returned status {status} without a message"
    return str(message).strip()
