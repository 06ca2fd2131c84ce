"""`context`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from sampan.client.target import Target
from sampan.errors import InvalidArgument

from .command import ANY, NONE, CommandFailed, at_least, command, exactly
from .context_store import TLS_FILES, ContextStore
from .flags import Options, boolean, string, typed
from .hosts import DEFAULT_CONTEXT, DEFAULT_HOST, context_name
from .inspect import FORMAT, inspect_all
from .key_values import fields
from .tabular import View, show
from .usage import FORMAT_USAGE

if TYPE_CHECKING:
    from .session import Session

Meta = dict[str, Any]
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration"
HOST_WIDTH = 45
ENDPOINT_HELP = """

Docker endpoint config:

NAME                DESCRIPTION
from                Copy named context's Docker endpoint configuration
host                Docker endpoint on which to connect
ca                  Trust certs signed only by this CA
cert                Path to TLS certificate file
key                 Path to TLS key file
skip-tls-verify     Skip TLS certificate validation

Example:

$ sampan context {} my-context --description "some description" --docker \
"host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file\""""
DESCRIPTION = string("description", "Description of the context")
DOCKER = typed("stringToString")("docker", "set the docker endpoint (default [])")


def _store(session: Session) -> ContextStore:
    return ContextStore(session.config.directory)


def default_meta(session: Session) -> Meta:
    """The context `default`, which lies in no file."""
    host = session.options.host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    return {
        "Name": DEFAULT_CONTEXT,
        "Metadata": {},
        "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}},
    }


def _description(meta: Meta) -> str:
    found = meta.get("Metadata", {}).get("Description", "")
    return str(found) if meta["Name"] != DEFAULT_CONTEXT else DEFAULT_DESCRIPTION


CONTEXTS = View(
    "clientContextContext",
    "Name Description DockerEndpoint Error",
    {
        "Current": ("", lambda row: row["Current"]),
        "Name": ("NAME", lambda row: row["Name"]),
        "Description": ("DESCRIPTION", lambda row: _description(row)),
        "DockerEndpoint": ("DOCKER ENDPOINT", lambda row: row["Endpoints"].get("docker", {}).get("Host", "")),
        "Error": ("ERROR", lambda row: ""),
    },
    quiet="Name",
)
TABLE = "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}"


@command(
    "[OPTIONS]",
    "List contexts",
    string("format", FORMAT_USAGE),
    boolean("quiet", "Only show context names", short="q"),
)
def ls(session: Session, options: Options, arguments: list[str]) -> int:
    store = _store(session)
    metas = [default_meta(session), *(store.load(name) for name in store.names())]
    current = context_name(session.options)
    rows = [{**meta, "Current": meta["Name"] == current} for meta in sorted(metas, key=lambda meta: meta["Name"])]
    template = options["format"] or ("" if options["quiet"] else TABLE)
    show(CONTEXTS, rows, TABLE if template == "table" else template, options["quiet"])
    if os.environ.get("DOCKER_HOST") and not options["quiet"]:
        session.warn(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the "
            "global --context flag, or unset DOCKER_HOST environment variable."
        )
    return 0


@command("", "Print the name of the current context", arity=NONE)
def show_current(session: Session, options: Options, arguments: list[str]) -> int:
    session.say(context_name(session.options))
    return 0


@command("[OPTIONS] [CONTEXT] [CONTEXT...]", "Display detailed information on one or more contexts", FORMAT, arity=ANY)
def inspect(session: Session, options: Options, arguments: list[str]) -> int:
    names = arguments or [context_name(session.options)]
    return inspect_all(names, options["format"], lambda name: _inspected(session, name))


def _inspected(session: Session, name: str) -> Meta:
    store = _store(session)
    if name == DEFAULT_CONTEXT:
        storage = {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"}
        return {**default_meta(session), "TLSMaterial": {}, "Storage": storage}
    meta_path, tls_path = store.directories(name)
    files = store.tls_files(name)
    return {
        **store.load(name),
        "TLSMaterial": {"docker": list(files)} if files else {},
        "Storage": {"MetadataPath": meta_path, "TLSPath": tls_path},
    }


def _endpoint(session: Session, text: str) -> tuple[Meta, dict[str, bytes]]:
    """The endpoint's metadata and its TLS files, of `host=…,ca=…`."""
    given = {key: value for key, value, _ in fields(text)}
    if "from" in given:
        return _copied(session, given["from"])
    unknown = sorted(set(given) - {"host", "ca", "cert", "key", "skip-tls-verify"})
    if unknown:
        raise CommandFailed(f"unrecognized config key: {unknown[0]}")
    try:
        Target(given.get("host", ""))
    except InvalidArgument as error:
        raise CommandFailed(f"unable to create docker endpoint config: {error}") from error
    skip = given.get("skip-tls-verify", "").lower() in ("true", "1")
    tls = {}
    for file in TLS_FILES:
        path = given.get(file.removesuffix(".pem"))
        if path:
            with open(os.path.expanduser(path), "rb") as source:
                tls[file] = source.read()
    return {"Host": given["host"], "SkipTLSVerify": skip}, tls


def _copied(session: Session, name: str) -> tuple[Meta, dict[str, bytes]]:
    store = _store(session)
    meta = default_meta(session) if name == DEFAULT_CONTEXT else store.load(name)
    tls = {}
    for file, path in store.tls_files(name).items():
        with open(path, "rb") as source:
            tls[file] = source.read()
    return meta["Endpoints"]["docker"], tls


def check_new(store: ContextStore, name: str) -> None:
    """Refuse a name that no new context can have."""
    if name == DEFAULT_CONTEXT:
        raise CommandFailed('"default" is a reserved context name')
    if not NAME.fullmatch(name):
        raise CommandFailed(
            f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )
    if store.exists(name):
        raise CommandFailed(f'context "{name}" already exists')


@command(
    "[OPTIONS] CONTEXT",
    "Create a context" + ENDPOINT_HELP.format("create"),
    DESCRIPTION,
    DOCKER,
    string("from", "create context from a named context"),
    arity=exactly(1),
)
def create(session: Session, options: Options, arguments: list[str]) -> int:
    name, store = arguments[0], _store(session)
    check_new(store, name)
    docker = ",".join(options["docker"])
    if not docker and not options["from"]:
        docker = f"from={DEFAULT_CONTEXT}"
    endpoint, tls = _copied(session, options["from"]) if options["from"] else _endpoint(session, docker)
    metadata = {"Description": options["description"]} if options["description"] else {}
    store.save(name, {"Name": name, "Metadata": metadata, "Endpoints": {"docker": endpoint}}, tls)
    session.say(name)
    session.warn(f'Successfully created context "{name}"')
    return 0


@command(
    "[OPTIONS] CONTEXT", "Update a context" + ENDPOINT_HELP.format("update"), DESCRIPTION, DOCKER, arity=exactly(1)
)
def update(session: Session, options: Options, arguments: list[str]) -> int:
    name, store = arguments[0], _store(session)
    meta = store.load(name)
    if options["description"]:
        meta.setdefault("Metadata", {})["Description"] = options["description"]
    tls = None
    if options["docker"]:
        meta["Endpoints"]["docker"], tls = _endpoint(session, ",".join(options["docker"]))
    store.save(name, meta, tls)
    session.say(name)
    session.warn(f'Successfully updated context "{name}"')
    return 0


@command("CONTEXT", "Set the current docker context", arity=exactly(1))
def use(session: Session, options: Options, arguments: list[str]) -> int:
    name = arguments[0]
    if name != DEFAULT_CONTEXT:
        _store(session).load(name)
    values = session.config.values
    if name == DEFAULT_CONTEXT:
        values.pop("currentContext", None)
    else:
        values["currentContext"] = name
    session.config.save()
    session.say(name)
    if os.environ.get("DOCKER_HOST") and name != DEFAULT_CONTEXT:
        session.warn(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use "
            f'"{name}", either set the global --context flag, or unset DOCKER_HOST environment variable.'
        )
    session.warn(f'Current context is now "{name}"')
    return 0


@command(
    "CONTEXT [CONTEXT...]",
    "Remove one or more contexts",
    boolean("force", "Force the removal of a context in use", short="f"),
    arity=at_least(1),
)
def rm(session: Session, options: Options, arguments: list[str]) -> int:
    store, failures = _store(session), []
    for name in arguments:
        if name == DEFAULT_CONTEXT:
            failures.append('context "default" cannot be removed')
        elif name == session.config.text("currentContext") and not options["force"]:
            failures.append(f'context "{name}" is in use, set -f flag to force remove')
        elif not store.exists(name) and not options["force"]:
            failures.append(f'context "{name}" not found')
        else:
            store.remove(name)
            session.say(name)
    if failures:
        raise CommandFailed("\n".join(failures))
    return 0
