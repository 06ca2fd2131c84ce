"""What apt is configured to use: the mirror of a suite, from sources.list(5) in either of its formats."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator

from msgspec import Struct

_LINE = re.compile(r"deb\s+(\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>[^#]*)")


class AptSource(Struct, frozen=True):
    """One archive: where it is, which suites and components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def read_sources(directory: str = "/etc/apt") -> list[AptSource]:
    """Every binary source of the host."""
    found: list[AptSource] = []
    for path in sorted(glob.glob(f"{directory}/sources.list.d/*.sources")):
        with open(path) as file:
            found += _deb822(file.read())
    for path in [f"{directory}/sources.list", *sorted(glob.glob(f"{directory}/sources.list.d/*.list"))]:
        try:
            with open(path) as file:
                found += _one_line(file.read())
        except FileNotFoundError:
            continue
    return found


def _deb822(text: str) -> Iterator[AptSource]:
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.lower()
                fields[key] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            for uri in fields.get("uris", "").split():
                suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
                yield AptSource(uri, tuple(suites), tuple(components), fields.get("signed-by", ""))


def _one_line(text: str) -> Iterator[AptSource]:
    for found in map(_LINE.match, text.splitlines()):
        if found:
            yield AptSource(found["uri"], (found["suite"],), tuple(found["components"].split()))


def mirror_of(sources: list[AptSource], suite: str) -> str | None:
    """The archive that serves a suite, or the one that serves the host's own main suite."""
    exact = [source.uri for source in sources if suite in source.suites and "main" in source.components]
    same = [
        source.uri
        for source in sources
        if "main" in source.components and source.uri.rstrip("/").endswith(("/debian", "/ubuntu"))
    ]
    return next(iter(exact + same), None)


def sources_document(mirror: str, security: str | None, suite: str, keyring: str) -> str:
    """The deb822 document of the image: the suite, its updates and its security fixes."""
    text = f"Types: deb\nURIs: {mirror}\nSuites: {suite} {suite}-updates\nComponents: main\nSigned-By: {keyring}\n"
    if security:
        text += f"\nTypes: deb\nURIs: {security}\nSuites: {suite}-security\nComponents: main\nSigned-By: {keyring}\n"
    return text
