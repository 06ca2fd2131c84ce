"""Who may do what: htpasswd, and bearer tokens of our own or of a token server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...cas.threads import run_in_thread
from ...linux.libcrypt import verify as verify_crypt
from .config import ServerConfig, TokenAuth
from .problems import Problem
from .tokens import Key, granted

_REMEMBER = 300.0


@dataclass(frozen=True)
class Scope:
    """What a request wants: `actions` (pull, push, delete) upon one repository, or nothing in particular."""

    name: str = ""
    actions: tuple[str, ...] = ()
    kind: str = "repository"

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(self.actions)}" if self.name else ""


class Htpasswd:
    """A file of `user:hash` lines (bcrypt, SHA-2 crypt, `{SHA}`); read again when it changes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp = 0.0
        self._hashes: dict[str, str] = {}
        self._known: dict[bytes, float] = {}
        self._salt = secrets.token_bytes(16)

    async def check(self, user: str, password: str) -> bool:
        """Whether the password is right; a right one is remembered for a while, since bcrypt is slow."""
        self._reload()
        key = hashlib.blake2b(f"{user}\0{password}".encode(), key=self._salt).digest()
        if self._known.get(key, 0) > time.monotonic():
            return True
        stored = self._hashes.get(user, "")
        if not await run_in_thread(lambda: _matches(password, stored)):
            return False
        self._known[key] = time.monotonic() + _REMEMBER
        return True

    def _reload(self) -> None:
        stamp = os.stat(self._path).st_mtime
        if stamp == self._stamp:
            return
        with open(self._path) as file:
            pairs = (line.strip().partition(":") for line in file if ":" in line and not line.startswith("#"))
            self._hashes = {user: stored for user, _, stored in pairs}
        self._stamp = stamp
        self._known.clear()


def _matches(password: str, stored: str) -> bool:
    if stored.startswith("{SHA}"):
        digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
        return hmac.compare_digest(stored[5:], digest)
    if not stored.startswith("$"):
        stored = "$2y$05$" + "." * 53  # an unknown user takes as long as a known one
    return verify_crypt(password, stored)


@dataclass
class Access:
    """The server's policy."""

    config: ServerConfig
    users: Htpasswd | None = None
    key: Key = field(default_factory=Key)

    @classmethod
    def of(cls, config: ServerConfig) -> Access:
        """Read the settings; the key of our own tokens is kept below the root."""
        users = Htpasswd(config.htpasswd) if config.htpasswd else None
        token = config.token
        return cls(config, users, Key((token.key or _own_key(f"{config.root}/token.key")) if token else b""))

    async def allow(self, authorization: str, scope: Scope, base: str) -> None:
        """Return when the request may go on; raises Problem with the challenge otherwise. `base`: our own URL."""
        if self.users is None and self.config.token is None:
            return
        if self.config.anonymous_pull and scope.actions == ("pull",):
            return
        if self.config.token is not None:
            self._allow_token(self.config.token, authorization, scope, base)
            return
        await self._allow_basic(authorization)

    async def allow_page(self, authorization: str, base: str) -> None:
        """The same for the pages, which list everything: browsers know passwords, not tokens of our own."""
        if self.users is not None:
            await self._allow_basic(authorization)
        else:
            await self.allow(authorization, Scope("catalog", ("*",), "registry"), base)

    async def _allow_basic(self, authorization: str) -> None:
        credentials = parse_basic(authorization)
        if credentials is None or self.users is None or not await self.users.check(*credentials):
            raise _unauthorized('Basic realm="sampan registry"')

    def _allow_token(self, token: TokenAuth, authorization: str, scope: Scope, base: str) -> None:
        scheme, _, value = authorization.partition(" ")
        challenge = _bearer(token, scope, base)
        if scheme.lower() != "bearer" or not value:
            raise _unauthorized(challenge)
        try:
            claims = self.key.verify(value, token)
        except ValueError as error:
            raise _unauthorized(f'{challenge},error="invalid_token"', str(error)) from error
        if scope.name and not granted(claims, scope.kind, scope.name, scope.actions):
            raise _unauthorized(f'{challenge},error="insufficient_scope"')

    async def issue(self, authorization: str, scopes: Sequence[str], service: str) -> dict[str, Any]:
        """`GET /token`: a token for a user of the htpasswd file; raises Problem."""
        token = self.config.token
        if token is None or token.realm:
            raise Problem(404, "NAME_UNKNOWN", "no token service here")
        credentials = parse_basic(authorization)
        known = credentials is not None and self.users is not None and await self.users.check(*credentials)
        if credentials is not None and not known:
            raise _unauthorized('Basic realm="sampan registry"')
        access = [entry for entry in map(_parse_scope, scopes) if entry is not None]
        if not known:
            allowed = ["pull"] if self.config.anonymous_pull else []
            access = [{**entry, "actions": [act for act in entry["actions"] if act in allowed]} for entry in access]
            if not self.config.anonymous_pull:
                raise _unauthorized('Basic realm="sampan registry"')
        now = int(time.time())
        claims = {"iss": token.issuer, "sub": credentials[0] if credentials else "", "aud": service or token.service,
                  "exp": now + token.lifetime, "nbf": now - 5, "iat": now, "access": access}  # fmt: skip
        signed = self.key.sign(claims)
        return {"token": signed, "access_token": signed, "expires_in": token.lifetime}


def _bearer(token: TokenAuth, scope: Scope, base: str) -> str:
    realm = token.realm or f"{base}/token"
    text = f'Bearer realm="{realm}",service="{token.service}"'
    return f'{text},scope="{scope}"' if scope.name else text


def _unauthorized(challenge: str, detail: str | None = None) -> Problem:
    return Problem(401, "UNAUTHORIZED", "authentication required", detail, WWW_Authenticate=challenge)


def parse_basic(authorization: str) -> tuple[str, str] | None:
    """User and password of RFC 7617."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, password) if colon else None


def _parse_scope(text: str) -> dict[str, Any] | None:
    kind, _, rest = text.partition(":")
    name, _, actions = rest.rpartition(":")
    if not name:
        return None
    return {"type": kind, "name": name, "actions": [action for action in actions.split(",") if action]}


def _own_key(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        key = secrets.token_bytes(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
        return key
