"""Registry credentials: `auths` of config.json, and credential helpers (docker-credential-NAME)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import reference
from .command import CommandFailed

if TYPE_CHECKING:
    from .configfile import ConfigFile
    from .session import Session

HUB = "https://index.docker.io/v1/"
"""The key under which Docker keeps Docker Hub's login."""
TOKEN_USER = "<token>"


def server_key(domain: str) -> str:
    return HUB if domain in ("docker.io", "index.docker.io", "registry-1.docker.io") else domain


def encode_auth(auth: Mapping[str, object]) -> str:
    """The value of X-Registry-Auth and X-Registry-Config: base64url of JSON."""
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


def registry_auth(session: Session, repository: str) -> str | None:
    """The header for the registry of a repository; None where there is no login."""
    auth = load(session.config, server_key(reference.domain(repository)))
    return encode_auth(auth) if auth else None


def all_auths(config: ConfigFile) -> dict[str, dict[str, str]]:
    """Every login, by server (for builds)."""
    servers = {*config.values.get("auths", {}), *config.values.get("credHelpers", {})}
    if config.text("credsStore"):
        servers.update(call_helper(config.text("credsStore"), "list", ""))
    found = {server: load(config, server) for server in servers}
    return {server: auth for server, auth in found.items() if auth}


def helper_of(config: ConfigFile, server: str) -> str:
    helpers: dict[str, str] = config.values.get("credHelpers", {})
    return helpers.get(server) or config.text("credsStore")


def load(config: ConfigFile, server: str) -> dict[str, str]:
    helper = helper_of(config, server)
    if helper:
        return _from_helper(helper, server)
    entry: dict[str, str] = _entry(config.values.get("auths", {}), server)
    if not entry:
        return {}
    try:
        pair = base64.b64decode(entry.get("auth", ""))
    except ValueError as error:
        raise CommandFailed(f"invalid auth configuration of {server}: {error}") from None
    user, _, password = pair.decode("utf-8", "replace").partition(":")
    auth = {"username": user, "password": password.rstrip("\0"), "serveraddress": server}
    if entry.get("identitytoken"):
        auth["identitytoken"] = entry["identitytoken"]
    return auth


def _entry(auths: dict[str, Any], server: str) -> Any:
    """Old entries are URLs of the same host."""
    if server in auths:
        return auths[server]
    return next((value for key, value in auths.items() if _host(key) == _host(server)), {})


def _host(server: str) -> str:
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_helper(helper: str, server: str) -> dict[str, str]:
    answer = call_helper(helper, "get", server)
    if not answer:
        return {}
    user, secret = answer.get("Username", ""), answer.get("Secret", "")
    if user == TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": server}
    return {"username": user, "password": secret, "serveraddress": server}


def call_helper(helper: str, action: str, text: str) -> dict[str, str]:
    """The helper's JSON answer; empty where it has no such credentials."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, action], input=text.encode(), capture_output=True, check=False)
    except OSError as error:
        raise CommandFailed(f"error getting credentials - err: exec: {program}: {error.strerror}") from error
    output = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode and "not found" in output:
        return {}
    if done.returncode:
        raise CommandFailed(f"error getting credentials - err: exit status {done.returncode}, out: `{output}`")
    try:
        loaded = json.loads(output or "{}")
    except ValueError as error:
        raise CommandFailed(f"error getting credentials - err: {error}, out: `{output}`") from None
    return loaded if isinstance(loaded, dict) else {}


def store(config: ConfigFile, server: str, auth: dict[str, str]) -> None:
    helper = helper_of(config, server)
    if helper:
        user = TOKEN_USER if auth.get("identitytoken") else auth["username"]
        secret = auth.get("identitytoken") or auth["password"]
        call_helper(helper, "store", json.dumps({"ServerURL": server, "Username": user, "Secret": secret}))
        config.values.setdefault("auths", {})[server] = {}
    else:
        config.values.setdefault("auths", {})[server] = file_entry(auth)
    config.save()


def file_entry(auth: dict[str, str]) -> dict[str, str]:
    """A login as the configuration file has it."""
    pair = f"{auth['username']}:{auth.get('password', '')}".encode()
    entry = {"auth": base64.b64encode(pair).decode()}
    if auth.get("identitytoken"):
        entry["identitytoken"] = auth["identitytoken"]
    return entry


def erase(config: ConfigFile, server: str) -> bool:
    """True if there was a login."""
    helper = helper_of(config, server)
    known = bool(load(config, server))
    if helper and known:
        call_helper(helper, "erase", server)
    auths = config.values.get("auths", {})
    for key in [key for key in auths if _host(key) == _host(server)]:
        del auths[key]
        known = True
    config.save()
    return known
