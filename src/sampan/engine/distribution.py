"""`GET /distribution/NAME/json`: what a registry has under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ..oci import config as configs
from ..oci import manifest as manifests
from ..oci.manifest import Descriptor, Index
from ..oci.platform import Platform
from ..oci.reference import Reference
from ..registry.config import AuthConfig
from ..registry.failures import RegistryFailure, translate_pull
from ..registry.repository import Repository
from .imagehost import ImageHost

if TYPE_CHECKING:
    from ..registry.transport import Transport


class Distribution(Struct, frozen=True):
    """The descriptor of a tag, and the platforms that it serves."""

    descriptor: Descriptor
    platforms: tuple[Platform, ...]


async def inspect_distribution(host: ImageHost, ref: Reference, auth: AuthConfig) -> Distribution:
    """Ask the registry; raises NotFound and Unauthorized in Docker's words."""
    ref = ref.with_default_tag()

    async def work(transport: Transport) -> Distribution:
        repository = Repository(transport, ref.path)
        found = await repository.manifest(ref.digest or ref.tag)
        document = manifests.parse(found.data, found.descriptor.media_type)
        if isinstance(document, Index):
            listed = tuple(entry.platform for entry in document.manifests if entry.platform)
            return Distribution(found.descriptor, listed)
        if document.config.media_type not in {manifests.OCI_CONFIG, manifests.DOCKER_CONFIG}:
            return Distribution(found.descriptor, ())
        config = configs.parse(await repository.blob(document.config, configs.MAX_CONFIG_SIZE))
        return Distribution(found.descriptor, (config.platform,))

    try:
        return await host.registries.connect(ref.domain, auth, work)
    except RegistryFailure as error:
        raise translate_pull(error, ref) from error
