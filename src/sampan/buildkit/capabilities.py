"""What this builder is able to do, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from .. import __version__
from ..engine import foreign, system
from ..oci import platform as platforms
from .proto.caps_pb2 import APICap
from .proto.ops_pb2 import Platform
from .proto.worker_pb2 import Version, WorkerRecord

if TYPE_CHECKING:
    from ..engine.engine import Engine

FRONTEND: Final = (
    "frontend.caps", "frontend.inputs", "gateway.evaluate", "gateway.solve.evaluate", "gateway.solve.metadata",
    "gateway.warnings", "importcaches", "proto.refarray", "readdir", "readfile", "reference.output", "resolveimage",
    "resolveimage.resolvemode", "return", "returnmap", "solve.base", "source.metaresolver", "statfile",
)  # fmt: skip
LLB: Final = (
    "constraints", "exec.cgroup", "exec.meta.base", "exec.meta.cgroup.parent", "exec.meta.network",
    "exec.meta.proxyenv", "exec.meta.security", "exec.meta.setsdefaultpath", "exec.meta.ulimit", "exec.mount.bind",
    "exec.mount.bind.readwrite-nooutput", "exec.mount.cache", "exec.mount.cache.sharing", "exec.mount.secret",
    "exec.mount.selector", "exec.mount.ssh", "exec.mount.tmpfs", "exec.mount.tmpfs.size", "exec.secretenv",
    "exporter.image.annotations", "exporter.image.attestations", "exporter.multiple", "exporter.sourcedateepoch",
    "file.base", "file.copy.includeexcludepatterns",
    "file.rm.wildcard", "file.symlink.create", "mergeop", "meta.description", "meta.exportcache", "meta.ignorecache",
    "platform", "source.git", "source.git.fullurl", "source.git.keepgitdir", "source.git.subdir", "source.http",
    "source.http.checksum", "source.image", "source.image.resolvemode", "source.local",
    "source.local.excludepatterns", "source.local.followpaths", "source.local.includepatterns",
    "source.local.sessionid", "source.local.sharedkeyhint", "source.local.unique",
)  # fmt: skip
_HOST_GATEWAY: Final = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"
_SNAPSHOTTER: Final = "org.mobyproject.buildkit.worker.snapshotter"
"""By this label buildx knows that several platforms, OCI archives and travelling caches work with its docker driver."""


def capabilities(names: Iterable[str]) -> list[APICap]:
    """As messages."""
    return [APICap(ID=name, Enabled=True) for name in names]


def version() -> Version:
    """What builds here."""
    return Version(package="sampan", version=f"v{__version__}")


def worker(engine: Engine) -> WorkerRecord:
    """The one worker."""
    labels = {_SNAPSHOTTER: engine.snapshots.name}
    if gateways := engine.networks.host_gateways():
        labels[_HOST_GATEWAY] = gateways[0]
    here = platforms.runnable_on(platforms.detected())
    shown = [*reversed(here[:-1]), here[-1]] if here[-1].architecture == "386" else here
    emulated = [one for one in map(platforms.parse, _FOREIGN) if one not in here and foreign.emulated(one)]
    return WorkerRecord(
        ID=system.engine_id(engine),
        Labels=labels,
        platforms=[message(one) for one in (*shown, *emulated)],
        version=version(),
    )


_FOREIGN: Final = (
    "linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386", "linux/riscv64", "linux/ppc64le",
    "linux/s390x", "linux/loong64", "linux/mips64le",
)  # fmt: skip


def message(platform: platforms.Platform) -> Platform:
    """A platform as a message."""
    return Platform(OS=platform.os, Architecture=platform.architecture, Variant=platform.variant)
