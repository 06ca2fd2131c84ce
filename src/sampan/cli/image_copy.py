"""`image copy`: between registries, OCI layouts and archives, with no daemon."""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import TYPE_CHECKING

from .command import CommandFailed, command, exactly
from .flags import Options, string, strings

if TYPE_CHECKING:
    from sampan.oci.reference import Reference
    from sampan.registry.config import AuthConfig

    from .session import Session


@command(
    "[OPTIONS] SOURCE TARGET",
    "Copy an image, or a whole index, between registries, OCI layouts (oci:DIRECTORY), archives (oci-archive:FILE …)",
    strings("insecure-registry", "Registry that may be spoken to without TLS"),
    string("certs-dir", "Directory of certificates", default="/etc/docker/certs.d"),
    arity=exactly(2),
)
def copy(session: Session, options: Options, arguments: list[str]) -> int:
    from sampan.errors import SampanError
    from sampan.registry.config import AuthConfig, RegistryConfig
    from sampan.registry.copying import copy as transfer

    from .credentials import load, server_key

    def auth(name: Reference) -> AuthConfig:
        return AuthConfig(**load(session.config, server_key(name.domain)))

    env = {name.lower(): value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    config = RegistryConfig(
        insecure=tuple(options["insecure-registry"]),
        certs_dirs=(options["certs-dir"],),
        http_proxy=env.get("http_proxy", ""),
        https_proxy=env.get("https_proxy", ""),
        no_proxy=env.get("no_proxy", ""),
    )
    with tempfile.TemporaryDirectory() as scratch:
        try:
            digest = asyncio.run(transfer(arguments[0], arguments[1], scratch, config, auth))
        except (SampanError, OSError) as error:
            raise CommandFailed(f"sampan: {error}") from error
    session.say(digest)
    return 0
