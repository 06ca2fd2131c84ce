"""Short names: names without a registry, and the registries that they may stand for (`default-registry`,
`search-registries` of daemon.json)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from . import digest as digests
from . import reference
from .reference import DEFAULT_DOMAIN, Reference


class ShortNames(Struct, frozen=True):
    """`registries` in the order in which they are asked: the default one, then those that are searched."""

    registries: tuple[str, ...] = (DEFAULT_DOMAIN,)

    @classmethod
    def of(cls, default: str, search: Sequence[str]) -> ShortNames:
        """From the settings; an empty default is Docker Hub."""
        return cls(tuple(dict.fromkeys((default or DEFAULT_DOMAIN, *search))))

    def candidates(self, text: str, tag: str = "") -> tuple[Reference, ...]:
        """What a name may mean, the likeliest first; one that has a registry means itself.

        `tag` may be a digest, as in the API's requests. Raises InvalidArgument in Docker's words.
        """
        parsed = reference.parse(text)
        if not is_short(text, parsed):
            return (_tagged(parsed, tag),)
        spelled = [f"{name}/{parsed.familiar}" for name in self.registries]
        return tuple(_tagged(reference.parse(name), tag) for name in spelled)


def is_short(text: str, parsed: Reference) -> bool:
    """Whether a name has no registry.

    Docker's client (28) writes `docker.io/library/busybox` for `busybox` and `docker.io/team/x` for `team/x`, so those
    count as short; `docker.io/busybox` and `index.docker.io/team/x` mean Docker Hub.
    """
    if parsed.domain != DEFAULT_DOMAIN or text.startswith(f"index.{DEFAULT_DOMAIN}/"):
        return False
    return not text.startswith(f"{DEFAULT_DOMAIN}/") or text.startswith(parsed.name)


def _tagged(name: Reference, tag: str) -> Reference:
    if not tag:
        return name
    return name.with_digest(tag) if digests.is_digest(tag) else name.tagged(tag)
