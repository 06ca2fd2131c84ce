"""Names of images: `[domain/]path[:tag][@digest]`, the grammar and normalisation of distribution/reference."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidArgument
from . import digest as digests

DEFAULT_DOMAIN = "docker.io"
_LEGACY_DEFAULT_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_MAX_PATH = 255

_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_TAG_ONLY = re.compile(_TAG)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class Reference(Struct, frozen=True):
    """A normalised name: `domain` and `path` are always set, `tag` and `digest` may be empty."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Domain and path: the repository."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as Docker shows it: `busybox` for `docker.io/library/busybox`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        official = self.path.removeprefix(_OFFICIAL)
        return official if "/" not in official else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as Docker shows it."""
        return self._with(self.familiar_name)

    def __str__(self) -> str:
        return self._with(self.name)

    def _with(self, name: str) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{name}{tag}@{self.digest}" if self.digest else name + tag

    def tagged(self, tag: str) -> Reference:
        """The same repository with this tag and no digest; raises InvalidArgument for a bad tag."""
        if not _TAG_ONLY.fullmatch(tag):
            raise InvalidArgument("invalid tag format")
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> Reference:
        """The same repository at this digest, without a tag."""
        return replace(self, tag="", digest=digests.parse(digest))

    def with_default_tag(self) -> Reference:
        """Add `latest` where there is neither a tag nor a digest."""
        return self if self.tag or self.digest else replace(self, tag="latest")


def parse(text: str) -> Reference:
    """Parse a full or familiar name and normalise it; raises InvalidArgument in Docker's words."""
    if _IDENTIFIER.fullmatch(text):
        raise InvalidArgument(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, remainder = _split_domain(text)
    remote = remainder.partition("@")[0].partition(":")[0]
    if remote.lower() != remote:
        raise InvalidArgument(f"invalid reference format: repository name ({remote}) must be lowercase")
    found = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if found is None or not found["domain"]:
        raise InvalidArgument("invalid reference format")
    if len(found["path"]) > _MAX_PATH:
        raise InvalidArgument(f"repository name must not be more than {_MAX_PATH} characters")
    digest = digests.parse(found["digest"]) if found["digest"] else ""
    return Reference(found["domain"], found["path"], found["tag"] or "", digest)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = "." in first or ":" in first or first == "localhost" or first.lower() != first
    domain, remainder = (first, rest) if slash and is_domain else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DEFAULT_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder


def is_identifier(text: str) -> bool:
    """Whether `text` may be an image ID or a prefix of one."""
    return re.fullmatch(r"(sha256:)?[a-f0-9]{1,64}", text) is not None
