"""Values of `build`'s flags, refused in buildx's words before anything is sent."""

from __future__ import annotations

from sampan.errors import InvalidArgument

from .command import CommandFailed
from .key_values import pairs

_ENTITLEMENTS = ("network.host", "security.insecure")


def hosts(texts: list[str]) -> list[str]:
    """`--add-host`: `name:address`."""
    from .run_values import extra_host

    found = []
    for text in texts:
        try:
            found.append(extra_host(text))
        except ValueError:
            raise CommandFailed(f"invalid host {text}") from None
    return found


def labels(texts: list[str]) -> dict[str, str]:
    """`--label`."""
    for text in texts:
        if not text.partition("=")[0]:
            raise CommandFailed(f'ERROR: invalid key-value pair "{text}": empty key')
    return pairs(texts)


def allowed(names: list[str]) -> list[str]:
    """`--allow`."""
    for name in names:
        if name not in _ENTITLEMENTS:
            raise CommandFailed(f"unknown entitlement {name}")
    return names


def tags(texts: list[str]) -> list[str]:
    """`--tag`."""
    if not texts:
        return []
    from sampan.oci import reference  # with msgspec below it, a sixth of the client's processor time

    for text in texts:
        try:
            reference.parse(text)
        except InvalidArgument:
            raise CommandFailed(f'invalid tag "{text}": {_why(text)}') from None
    return texts


def _why(text: str) -> str:
    if not text:
        return "repository name must have at least one component"
    is_large = any(letter.isupper() for letter in text.rpartition(":")[0] or text)
    return "repository name must be lowercase" if is_large else "invalid reference format"
