"""Requests to one registry endpoint: TLS, proxies, authentication, redirects, retries.

The only module of the client that imports aiohttp; the engine imports it when a registry is talked to.
"""

from __future__ import annotations

import asyncio
import errno
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from ..errors import SampanError, Unauthorized
from . import auth as authentication
from .auth import Challenge, Token
from .config import ANONYMOUS, AuthConfig, Endpoint, RegistryConfig, certificates, proxy_for
from .failures import RegistryFailure, TlsFailure, Unreachable, failure

T = TypeVar("T")

_MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_BODY = 8 << 20
_MAX_DELAY = 30.0

Body = Callable[[], AsyncIterator[bytes]]
"""Makes the body anew for every try."""


class Transport:
    """Talks to one endpoint with one set of credentials. Close it (`async with`) when done.

    Credentials and tokens go to the endpoint and its token realm, never to a host that a redirect names.
    """

    def __init__(self, config: RegistryConfig, endpoint: Endpoint, auth: AuthConfig = ANONYMOUS) -> None:
        self.config = config
        self.endpoint = endpoint
        self._auth = ANONYMOUS if endpoint.mirror else auth
        self._tokens: dict[str, Token] = {}
        self._challenge: Challenge | None = None
        self._tls = _tls_context(config, endpoint)
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            headers={"User-Agent": config.user_agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout, sock_read=config.stall_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ping(self) -> None:
        """Learn how the endpoint wants to be spoken to; raises Unreachable when it is not there. One try."""
        url = f"{self.endpoint.url}/v2/"
        async with await self._follow("GET", url, {}, None, None) as response:
            if response.status == 401:
                headers = response.headers.getall("WWW-Authenticate", [])
                self._challenge = _choose(authentication.parse_challenges(headers))
            elif response.status >= 500:
                raise failure(response.status, await _read(response), _go_error("GET", url))

    @asynccontextmanager
    async def request(
        self, method: str, path: str, *, scope: str = "", headers: Mapping[str, str] | None = None,
        body: Body | None = None, accept: frozenset[int] = frozenset({200}),
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        """One exchange, authenticated. `path` is below the endpoint, or a whole URL (an upload's location).

        `scope` is what a token has to allow, e.g. `repository:library/busybox:pull`. Raises RegistryFailure for a
        status that is not in `accept`, Unreachable when the connection fails.
        """
        url = path if "://" in path else self.endpoint.url + path
        response = await self._authenticated(method, url, scope, dict(headers or {}), body)
        try:
            if response.status not in accept:
                raise failure(response.status, await _read(response), _go_error(method, url))
            yield response
        finally:
            response.release() if response.content.at_eof() else response.close()

    async def fetch(
        self, method: str, path: str, *, scope: str = "", headers: Mapping[str, str] | None = None,
        body: Body | None = None, accept: frozenset[int] = frozenset({200}),
    ) -> tuple[int, Mapping[str, str], bytes]:  # fmt: skip
        """A small exchange with retries on 429, 5xx and broken connections: status, headers, body."""

        async def once() -> tuple[int, Mapping[str, str], bytes]:
            async with self.request(method, path, scope=scope, headers=headers, body=body, accept=accept) as response:
                return response.status, response.headers, await _read(response)

        return await self.retrying(once)

    async def retrying(self, attempt: Callable[[], Awaitable[T]], notify: Callable[[float], None] | None = None) -> T:
        """Run `attempt` until it succeeds or fails for good; `notify` hears the seconds before another try."""
        for number in range(self.config.max_attempts - 1):
            try:
                return await attempt()
            except (Unreachable, RegistryFailure) as error:
                if isinstance(error, TlsFailure) or (isinstance(error, RegistryFailure) and not error.transient):
                    raise
                delay = min(_MAX_DELAY, self.config.retry_delay * 2**number)
                if notify is not None:
                    notify(delay)
                # Spread out, so that many clients of a registry that came back do not come back at once.
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))
        return await attempt()

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes in; raises Unreachable when it stalls or breaks off."""
        with network_errors(_go_error(response.method, str(response.url))):
            async for chunk in response.content.iter_any():
                yield chunk

    async def _authenticated(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: Body | None
    ) -> aiohttp.ClientResponse:
        authorization = await self._authorization(scope)
        response = await self._follow(method, url, headers, authorization, body)
        if response.status != 401 or not self._is_own(url):
            return response
        challenges = authentication.parse_challenges(response.headers.getall("WWW-Authenticate", []))
        self._challenge = _choose(challenges)
        self._tokens.pop(scope, None)
        if self._challenge is None:
            return response
        if self._challenge.scheme == "basic" and self._auth.basic() is None:
            response.close()
            raise Unauthorized(f"{_go_error(method, url)}: no basic auth credentials")
        if self._challenge.scheme == "basic" and authorization is not None:
            return response
        response.close()
        return await self._follow(method, url, headers, await self._authorization(scope), body)

    async def _authorization(self, scope: str) -> str | None:
        """The header's value as far as it is known what the endpoint wants."""
        if self._auth.registrytoken:
            return f"Bearer {self._auth.registrytoken}"
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            credentials = self._auth.basic()
            return authentication.basic_header(credentials) if credentials else None
        token = self._tokens.get(scope)
        if token is None or not token.usable:
            token = self._tokens[scope] = await self._fetch_token(self._challenge, scope)
        return f"Bearer {token.value}"

    async def _fetch_token(self, challenge: Challenge, scope: str) -> Token:
        scopes = scope.split() or challenge.parameters.get("scope", "").split()
        secure = self.endpoint.url.startswith("https:") and self.endpoint.verify
        wanted = authentication.token_request(challenge, scopes, self._auth, secure=secure)

        async def once() -> Token:
            async with self._send(wanted.method, wanted.url, wanted.headers, wanted.form or None) as response:
                body = await _read(response)
                if response.status in {401, 403}:
                    raise Unauthorized(
                        f"{_go_error(wanted.method, wanted.url)}: unauthorized: incorrect username or password"
                    )
                if response.status != 200:
                    raise failure(response.status, body, _go_error(wanted.method, wanted.url))
                return authentication.parse_token(body)

        return await self.retrying(once)

    def _is_own(self, url: str) -> bool:
        """Whether credentials may go there: scheme, host and port of the endpoint."""
        mine, theirs = URL(self.endpoint.url), URL(url, encoded=True)
        # `https://host:443` and `https://host` are one: registries leave a default port out of an upload's location.
        return (mine.scheme, mine.host, mine.port) == (theirs.scheme, theirs.host, theirs.port)

    async def _follow(
        self, method: str, url: str, headers: dict[str, str], authorization: str | None, body: Body | None
    ) -> aiohttp.ClientResponse:
        for _ in range(_MAX_REDIRECTS):
            sent = {**headers, "Authorization": authorization} if authorization and self._is_own(url) else headers
            response = await self._send(method, url, sent, body() if body else None)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            url = urljoin(url, location)
            if urlsplit(url).scheme not in {"http", "https"}:
                raise SampanError(f"{_go_error(method, url)}: unsupported protocol scheme")
        raise SampanError(f"{_go_error(method, url)}: stopped after {_MAX_REDIRECTS} redirects")

    def _send(self, method: str, url: str, headers: Mapping[str, str], data: Any) -> _Sending:
        request = self._session.request(
            method, URL(url, encoded=True), headers=headers, data=data, allow_redirects=False,
            ssl=self._tls_for(url), proxy=proxy_for(self.config, url),
        )  # fmt: skip
        return _Sending(request, _go_error(method, url))

    def _tls_for(self, url: str) -> ssl.SSLContext | bool:
        """The endpoint's own certificates hold for the endpoint alone; other hosts are checked against the system's."""
        return self._tls if self._is_own(url) else True


class _Sending:
    """A request under way: awaitable and a context manager, like aiohttp's, with our errors."""

    def __init__(self, request: Any, what: str) -> None:
        self._request = request
        self._what = what
        self._response: aiohttp.ClientResponse | None = None

    def __await__(self) -> Generator[Any, None, aiohttp.ClientResponse]:
        return self._run().__await__()

    async def __aenter__(self) -> aiohttp.ClientResponse:
        self._response = await self._run()
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.release()

    async def _run(self) -> aiohttp.ClientResponse:
        with network_errors(self._what):
            response: aiohttp.ClientResponse = await self._request
            return response


@contextmanager
def network_errors(what: str) -> Iterator[None]:
    """Turn what aiohttp raises into Unreachable, in the words of Go's net package."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise TlsFailure(f"{what}: tls: failed to verify certificate: x509: {error.certificate_error}") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise Unreachable(f"{what}: dial tcp: lookup {error.host}: no such host") from error
    except aiohttp.ClientSSLError as error:
        raise TlsFailure(f"{what}: http: server gave HTTP response to HTTPS client") from error
    except aiohttp.ClientConnectorError as error:
        reason = {errno.ECONNREFUSED: "connection refused"}.get(error.os_error.errno or 0, str(error.os_error))
        raise Unreachable(f"{what}: dial tcp {error.host}:{error.port}: connect: {reason}") from error
    except TimeoutError as error:
        raise Unreachable(f"{what}: net/http: timeout awaiting response") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise Unreachable(f"{what}: {error or type(error).__name__}") from error


def _choose(challenges: list[Challenge]) -> Challenge | None:
    """Bearer before basic: a registry that offers both prefers tokens."""
    ranked = {challenge.scheme: challenge for challenge in reversed(challenges)}
    return ranked.get("bearer") or ranked.get("basic")


def _go_error(method: str, url: str) -> str:
    return f'{method.capitalize()} "{url}"'


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """A body of bounded size."""
    with network_errors(_go_error(response.method, str(response.url))):
        parts, size = [], 0
        async for chunk in response.content.iter_chunked(1 << 16):
            size += len(chunk)
            if size > _MAX_BODY:
                raise SampanError(f"response of {response.url} is larger than {_MAX_BODY} bytes")
            parts.append(chunk)
        return b"".join(parts)


def _tls_context(config: RegistryConfig, endpoint: Endpoint) -> ssl.SSLContext | bool:
    if not endpoint.url.startswith("https:"):
        return True
    context = ssl.create_default_context()
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    found = certificates(config, endpoint.domain)
    try:
        for authority in found.authorities:
            context.load_verify_locations(authority)
        for certificate, key in found.pairs:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SampanError(f"certificates of {endpoint.domain}: {error}") from error
    return context
