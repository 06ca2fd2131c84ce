"""Image references as commands split them; what is valid is for the daemon to say."""

from __future__ import annotations

DEFAULT_TAG = "latest"
DEFAULT_DOMAIN = "docker.io"


def split(text: str) -> tuple[str, str, str]:
    """Repository, tag and digest; empty where absent."""
    rest, _, digest = text.partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, "", digest
    return repository, tag, digest


def with_default_tag(text: str) -> str:
    _, tag, digest = split(text)
    return text if tag or digest else f"{text}:{DEFAULT_TAG}"


def domain(text: str) -> str:
    """The registry of a reference: `localhost` or a first component with a dot or a port, else Docker Hub."""
    first, slash, _ = text.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return "docker.io" if first == "index.docker.io" else first
    return DEFAULT_DOMAIN


def familiar(text: str) -> str:
    """Without `docker.io/library/`."""
    short = text.removeprefix("index.").removeprefix("docker.io/")
    return short.removeprefix("library/") if short != text or text.startswith("library/") else text


def canonical(text: str) -> str:
    """With the registry, and `library/` for Docker Hub's own names."""
    host = domain(text)
    path = text.partition("/")[2] if text.startswith((host + "/", "index.docker.io/")) else text
    return f"{host}/library/{path}" if host == DEFAULT_DOMAIN and "/" not in path else f"{host}/{path}"
