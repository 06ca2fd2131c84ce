"""Error kinds by meaning.

Every failure that a user may see is one of these. `api/errors.py` maps each to its HTTP status, `client/` maps the
status back to the same class. The text names the path or the value, in lower case, without a full stop; where
Docker's users know a wording, it is Docker's.
"""


class SampanError(Exception):
    """Base of all errors with a meaning; by itself: something failed on our side (HTTP 500)."""


class InvalidArgument(SampanError):
    """The request is malformed or contradicts itself (HTTP 400)."""


class Unauthorized(SampanError):
    """Credentials are missing or were refused (HTTP 401)."""


class Forbidden(SampanError):
    """The request is understood and not allowed (HTTP 403)."""


class NotFound(SampanError):
    """The named thing does not exist (HTTP 404)."""


class NotAllowed(SampanError):
    """The method is not allowed on this thing (HTTP 405)."""


class Conflict(SampanError):
    """The thing's present state does not permit the request (HTTP 409)."""


class NotModified(SampanError):
    """The thing already is as requested (HTTP 304)."""


class NotImplementedHere(SampanError):
    """Known to Docker, not offered by this engine or this kernel (HTTP 501)."""


class Unavailable(SampanError):
    """A service that the request needs cannot be reached (HTTP 503)."""


class DataLoss(SampanError):
    """Content does not match its digest or its declared size (HTTP 500)."""
