"""Authentication: challenges of RFC 9110 §11.6.1, basic, and the token protocol of distribution."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from msgspec import Struct, field

from ..errors import SampanError, Unauthorized
from .config import AuthConfig

_DEFAULT_LIFETIME = 60
_CHALLENGE = re.compile(r'([A-Za-z]+)\s+((?:[\w-]+=(?:"(?:[^"\\]|\\.)*"|[^\s,"]*)\s*,?\s*)*)')
_PARAMETER = re.compile(r'([\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


class Challenge(Struct, frozen=True):
    """One `WWW-Authenticate` challenge; the scheme in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """All challenges of a response, in order."""
    found = []
    for header in headers:
        for match in _CHALLENGE.finditer(header):
            parameters = {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare
                for name, quoted, bare in _PARAMETER.findall(match[2])
            }
            found.append(Challenge(match[1].lower(), parameters))
    return found


class Token(Struct):
    """A bearer token and the time (monotonic seconds) until which it is used."""

    value: str
    expires: float

    @property
    def usable(self) -> bool:
        """Whether it still lives long enough for a request."""
        return time.monotonic() < self.expires


class TokenRequest(Struct, frozen=True):
    """What to send to the realm: a GET with a query, or a POST of a form."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


def basic_header(credentials: tuple[str, str]) -> str:
    """`Authorization` of RFC 7617."""
    return "Basic " + base64.b64encode(":".join(credentials).encode()).decode()


def token_request(challenge: Challenge, scopes: list[str], auth: AuthConfig, *, secure: bool) -> TokenRequest:
    """The request for a token; `secure`: the registry spoke TLS, so its realm has to, too."""
    realm = challenge.parameters.get("realm", "")
    parts = urlsplit(realm)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise Unauthorized(f"invalid token auth challenge realm: {realm}")
    if secure and parts.scheme != "https" and (auth.basic() or auth.identitytoken):
        raise Unauthorized(f"refusing to send credentials to {realm} without TLS")
    service = challenge.parameters.get("service", "")
    if auth.identitytoken:
        form = {"grant_type": "refresh_token", "service": service, "client_id": "sampan", "scope": " ".join(scopes),
                "refresh_token": auth.identitytoken}  # fmt: skip
        return TokenRequest("POST", realm, form=form)
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    credentials = auth.basic()
    if credentials:
        query.insert(0, ("account", credentials[0]))
    headers = {"Authorization": basic_header(credentials)} if credentials else {}
    return TokenRequest("GET", f"{realm}{'&' if parts.query else '?'}{urlencode(query)}", headers)


def parse_token(body: bytes) -> Token:
    """The realm's answer; raises SampanError when it holds no token."""
    try:
        document = json.loads(body)
        value = document.get("token") or document.get("access_token")
        lifetime = float(document.get("expires_in") or _DEFAULT_LIFETIME)
    except (ValueError, AttributeError, TypeError) as error:
        raise SampanError(f"invalid token response: {error}") from error
    if not isinstance(value, str) or not value:
        raise SampanError("authorization server did not include a token in the response")
    # A little less than its life, so that a token does not run out on the way.
    return Token(value, time.monotonic() + lifetime * 0.9)
