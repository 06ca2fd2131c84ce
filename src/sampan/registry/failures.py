"""What registries answer when something is wrong, in Docker's words."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from ..errors import Forbidden, NotFound, SampanError, Unauthorized
from ..oci.reference import Reference


class ApiError(Struct, frozen=True):
    """One entry of the error document (distribution-spec, «Error Codes»)."""

    code: str = "UNKNOWN"
    message: str = ""
    detail: Any = None

    def __str__(self) -> str:
        return f"{self.code.lower().replace('_', ' ')}: {self.message}"


class _Document(Struct):
    errors: list[ApiError] = msgspec.field(default_factory=list)
    details: str = ""
    message: str = ""


class RegistryFailure(SampanError):
    """A registry answered with an error: HTTP status and the codes it gave."""

    def __init__(self, status: int, errors: list[ApiError], text: str) -> None:
        super().__init__(text)
        self.status = status
        self.errors = errors

    @property
    def code(self) -> str:
        """The first code, or empty."""
        return self.errors[0].code if self.errors else ""

    @property
    def transient(self) -> bool:
        """Whether another try may succeed."""
        return self.status == 429 or self.status >= 500


class Unreachable(SampanError):
    """No connection, or it broke: another try, or another endpoint, may succeed."""


class TlsFailure(Unreachable):
    """No agreement on TLS: trying again does not help, another endpoint may."""


def failure(status: int, body: bytes, what: str) -> RegistryFailure:
    """The failure that a response stands for; `what` says which request, as Go's url.Error does."""
    try:
        document = msgspec.json.decode(body, type=_Document)
    except msgspec.MsgspecError:
        document = _Document()
    errors = document.errors
    if errors:
        text = "\n".join(str(error) for error in errors)
    else:
        message = document.details or document.message or body[:200].decode(errors="replace").strip()
        text = f"{what}: unexpected status code {status}" + (f": {message}" if message else "")
    return RegistryFailure(status, errors, text)


def translate_pull(error: RegistryFailure, ref: Reference) -> SampanError:
    """The error that `docker pull` shows for a failure of the manifest's request."""
    if error.code == "DENIED" or (error.status == 403 and not error.code):
        return NotFound(
            f"pull access denied for {ref.familiar_name}, repository does not exist or may require 'docker login': "
            f"{error}"
        )
    if error.code == "MANIFEST_UNKNOWN":
        return NotFound(f"manifest for {ref.familiar} not found: {error}")
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {ref.familiar_name} not found: {error}")
    if error.status == 404:
        return NotFound(f"manifest for {ref.familiar} not found: manifest unknown: {error}")
    return translate(error)


def translate_push(error: RegistryFailure, ref: Reference) -> SampanError:
    """The error that `docker push` shows."""
    if error.code in {"DENIED", "UNAUTHORIZED"} or error.status in {401, 403}:
        text = str(error) if error.errors else "denied: requested access to the resource is denied"
        return Forbidden(text) if error.status == 403 else Unauthorized(text)
    return translate(error)


def translate(error: RegistryFailure) -> SampanError:
    """Any other failure, by its status."""
    kinds: dict[int, type[SampanError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound}
    return kinds.get(error.status, SampanError)(str(error))
