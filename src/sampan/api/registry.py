"""What talks to registries: pull, push, search, login, distribution."""

from __future__ import annotations

from typing import Any

from ..engine import distribution, login, search
from ..engine import pull as pulling
from ..engine import push as pushing
from ..engine.pull import PullRequest
from ..engine.push import PushRequest
from ..errors import SampanError, Unauthorized
from ..model.progress import Report
from ..oci import platform as platforms
from ..oci import reference
from ..oci.shortnames import is_short
from ..registry.config import ANONYMOUS, AuthConfig, AuthFor, domain_of
from ..wire.system import AuthConfig as AuthBody
from . import body, platform, progress
from .call import Call


def credentials(call: Call) -> AuthConfig:
    """Those of X-Registry-Auth."""
    return body.from_header(call.request_headers.get("x-registry-auth", ""), AuthConfig, ANONYMOUS)


def _credentials_for(auth: AuthConfig, name: str) -> AuthFor:
    """Which registry gets what the client sent. Of a short name the client thinks Docker Hub's, and sends those."""
    short = is_short(name, reference.parse(name))
    meant = domain_of(auth.serveraddress)

    async def given(domain: str) -> AuthConfig:
        return auth if domain == meant or not short else ANONYMOUS

    return given


async def pull(call: Call) -> None:
    query = call.query
    image, tag = query.text("fromImage"), query.text("tag")
    text = query.text("platform") if call.version >= (1, 32) else ""
    first, *others = call.engine.images.short_names.candidates(image, tag)
    request = PullRequest(
        ref=first,
        others=tuple(others),
        platform=platforms.parse(text) if text else None,
        auth_for=_credentials_for(credentials(call), image),
        all_tags=not tag,
    )

    async def work(report: Report) -> None:
        try:
            await pulling.pull(call.engine, request, report)
        except Unauthorized as error:
            # At a 401 the stock client asks for a password and sends the pull again: Docker's daemon answers 500.
            raise SampanError(str(error)) from error

    await progress.stream(call, work)


async def push(call: Call) -> None:
    name, tag = call.path["name"], call.query.text("tag")
    request = PushRequest(
        ref=pushing.reference_of(call.engine.images, name, tag),
        auth=credentials(call),
        platform=platform.one(call, (1, 46)),
    )

    async def work(report: Report) -> None:
        await pushing.push(call.engine, request, report)

    await progress.stream(call, work)


async def find(call: Call) -> None:
    query = call.query
    found = await search.search(
        call.engine,
        query.text("term"),
        limit=query.number("limit"),
        filters=query.filters(),
        auth=credentials(call),
    )
    await call.json(found)


async def authenticate(call: Call) -> None:
    given = await call.body(AuthBody)
    result = await login.login(call.engine, AuthConfig(
        username=given.username, password=given.password, auth=given.auth, serveraddress=given.serveraddress,
        identitytoken=given.identitytoken, registrytoken=given.registrytoken,
    ))  # fmt: skip
    await call.json({"IdentityToken": result.identity_token, "Status": result.status})


async def inspect(call: Call) -> None:
    target = reference.parse(call.path["name"])
    found = await distribution.inspect_distribution(call.engine, target, credentials(call))
    document: dict[str, Any] = {"Descriptor": found.descriptor, "Platforms": list(found.platforms)}
    await call.json(document)
