"""What a client asks of the Dockerfile front end: its attributes, as BuildKit's clients send them, to ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ..build.cacheexport import CacheTarget, parse_target
from ..build.cacheimport import CacheSource, parse_source
from ..build.imageform import ImageForm, parse_form
from ..errors import InvalidArgument, NotImplementedHere
from ..model.container import HostConfig, Ulimit
from ..model.quantity import parse_bool
from ..oci import platform as platforms
from ..oci.platform import Platform
from .proto.control_pb2 import CacheOptionsEntry

_CAPABILITIES = frozenset({
    "moby.buildkit.frontend.inputs", "moby.buildkit.frontend.subrequests", "moby.buildkit.frontend.contexts",
})  # fmt: skip
_NETWORKS = frozenset({"", "default", "sandbox", "none", "host"})


class _CacheImport(msgspec.Struct, rename="pascal"):
    type: str
    attrs: dict[str, str] = {}


@dataclass(frozen=True)
class Attributes:
    """The attributes by name; properties give what they mean."""

    values: Mapping[str, str]

    def check(self) -> None:
        """Refuse what would otherwise be left undone."""
        for capability in filter(None, self.values.get("frontend.caps", "").split(",")):
            if capability.removesuffix("+forward") not in _CAPABILITIES:
                raise NotImplementedHere(f"unsupported frontend capability {capability}")
        for kind, value in self.named("attest").items():
            if kind != "provenance" and value != "disabled=true":
                raise InvalidArgument(f"attestations of the kind {kind} are not made by this engine")
        if self.values.get("hostname"):
            raise InvalidArgument("a host name of build steps is not supported by this engine")

    def text(self, name: str, default: str = "") -> str:
        """A value, or the default where it is empty or absent."""
        return self.values.get(name) or default

    def flag(self, name: str) -> bool:
        """Whether a boolean is set."""
        return is_true(self.values, name)

    def named(self, prefix: str) -> dict[str, str]:
        """All `prefix:NAME` by NAME."""
        start = f"{prefix}:"
        return {name.removeprefix(start): value for name, value in self.values.items() if name.startswith(start)}

    @property
    def filename(self) -> str:
        """The Dockerfile's name."""
        return self.text("filename", "Dockerfile")

    @property
    def platforms(self) -> list[Platform]:
        """Empty for this machine's."""
        return platforms.parse_all(self.text("platform"))

    @property
    def several(self) -> bool:
        """Whether the result is to name its platforms."""
        return len(self.platforms) > 1 or self.flag("multi-platform")

    @property
    def no_cache(self) -> bool:
        """`no-cache` without a value is for all stages."""
        return "no-cache" in self.values and not self.values["no-cache"]

    @property
    def no_cache_stages(self) -> frozenset[str]:
        """`no-cache` with stages' names."""
        return frozenset(filter(None, self.values.get("no-cache", "").split(",")))

    @property
    def network(self) -> str:
        """`--network`."""
        network = self.text("force-network-mode")
        if network not in _NETWORKS:
            raise InvalidArgument(f"network mode {network} not supported by buildkit")
        return network if network in ("none", "host") else "default"

    @property
    def limits(self) -> HostConfig:
        """What steps may use, and the hosts they know."""
        hosts = [pair.replace("=", ":", 1) for pair in filter(None, self.text("add-hosts").split(","))]
        return HostConfig(
            shm_size=self._number("shm-size"), cgroup_parent=self.text("cgroup-parent"), extra_hosts=hosts or None,
            ulimits=list(self._ulimits()) or None,
        )  # fmt: skip

    @property
    def form(self) -> ImageForm:
        """What the image is to state about itself; the rest of its form is said where it goes."""
        return parse_form({name: value for name, value in self.values.items() if name == "attest:provenance"})

    def _number(self, name: str) -> int:
        text = self.text(name, "0")
        if not text.isdigit():
            raise InvalidArgument(f"invalid {name}: {text}")
        return int(text)

    def _ulimits(self) -> Iterator[Ulimit]:
        for text in filter(None, self.text("ulimit").split(",")):
            name, _, limits = text.partition("=")
            soft, _, hard = limits.partition(":")
            try:
                yield Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
            except ValueError:
                raise InvalidArgument(f"invalid ulimit: {text}") from None

    def cache_sources(self) -> list[CacheSource]:
        """`cache-imports`: JSON of their types and attributes."""
        text = self.text("cache-imports", "[]")
        try:
            found = msgspec.json.decode(text, type=list[_CacheImport])
        except msgspec.MsgspecError as error:
            raise InvalidArgument(f"failed to unmarshal cache-imports: {error}") from None
        return cache_sources((one.type, one.attrs) for one in found)


def is_true(fields: Mapping[str, str], name: str) -> bool:
    """Whether a truth value is there and set."""
    text = fields.get(name, "")
    try:
        return bool(text) and parse_bool(text)
    except ValueError as error:
        raise InvalidArgument(f"{name}: {error}") from None


def cache_sources(entries: Iterator[tuple[str, Mapping[str, str]]]) -> list[CacheSource]:
    """Caches to look into, by type and attributes."""
    return [parse_source({"type": kind, **attrs}, None) for kind, attrs in entries]


def cache_targets(entries: Sequence[CacheOptionsEntry]) -> list[CacheTarget]:
    """Caches to write. A local one would need the client's content store, which is not spoken to."""
    for entry in entries:
        if entry.Type == "local":
            raise InvalidArgument("cache exporter local is not supported over gRPC: one of inline, registry is wanted")
    return [parse_target({"type": entry.Type, **entry.Attrs}) for entry in entries]
