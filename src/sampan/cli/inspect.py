"""`inspect` of everything."""

from __future__ import annotations

import sys

from sampan.errors import NotFound, SampanError
from sampan.rpc import documents

from .command import Command, CommandFailed, at_least, command
from .flags import Options, boolean, string
from .main import describe
from .template_values import TemplateError
from .usage import INSPECT_FORMAT_USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from sampan.client.sync import Client

    from .session import Session

    Fetch = Callable[[str], Any]

FORMAT = string("format", INSPECT_FORMAT_USAGE, short="f")
SIZE = boolean("size", "Display total file sizes", short="s")


def inspect_all(names: Iterable[str], template: str, fetch: Fetch) -> int:
    """What was found is printed even when something else was not."""
    render = _renderer(template)
    failures, found = [], []
    for name in names:
        try:
            found.append(fetch(name))
        except SampanError as error:
            failures.append(describe(error))
    try:
        _print(found, render)
    except TemplateError as error:
        sys.stdout.write("\n")
        raise CommandFailed(f"template parsing error: {error}") from None
    finally:
        sys.stdout.flush()
    if failures:
        raise CommandFailed("\n".join(failures))
    return 0


def _renderer(template: str) -> Callable[[Any], str] | None:
    if not template:
        return None
    from . import formats

    return formats.of_value(template).render


def _print(found: list[Any], render: Callable[[Any], str] | None) -> None:
    if render is None:
        sys.stdout.write(documents.indented(found) + "\n")
        return
    for item in found:
        sys.stdout.write(render(item) + "\n")


def _kind(kind: str, summary: str, fetch: Callable[[Client, Options, str], Any], *flags: Any) -> Command:
    def run(session: Session, options: Options, arguments: list[str]) -> int:
        return inspect_all(arguments, options["format"], lambda name: fetch(session.client, options, name))

    usage = f"[OPTIONS] {kind} [{kind}...]"
    return command(usage, f"Display detailed information on one or more {summary}", FORMAT, *flags, arity=at_least(1))(
        run
    )


def _image(client: Client, options: Options, name: str) -> Any:
    from .pull import platform_object

    return client.image_inspect(name, platform_object(options["platform"]))


PLATFORM = string(
    "platform",
    "Inspect a specific platform of the multi-platform image.\n"
    "If the image or the server is not multi-platform capable, the command will error "
    "out if the platform does not match.\n'os[/arch[/variant]]': Explicit platform (eg. "
    "linux/amd64)",
)
container = _kind(
    "CONTAINER", "containers", lambda client, options, name: client.container_inspect(name, options["size"]), SIZE
)
image = _kind("IMAGE", "images", _image, PLATFORM)
network = _kind(
    "NETWORK",
    "networks",
    lambda client, options, name: client.network_inspect(name, options["verbose"]),
    boolean("verbose", "Verbose output for diagnostics", short="v"),
)
volume = _kind("VOLUME", "volumes", lambda client, options, name: client.volume_inspect(name))
plugin = _kind("PLUGIN", "plugins", lambda client, options, name: client.plugin_inspect(name))

ANY_KIND: dict[str, Callable[[Client, Options, str], Any]] = {
    "container": lambda client, options, name: client.container_inspect(name, options["size"]),
    "image": lambda client, options, name: client.image_inspect(name),
    "network": lambda client, options, name: client.network_inspect(name),
    "volume": lambda client, options, name: client.volume_inspect(name),
    "plugin": lambda client, options, name: client.plugin_inspect(name),
}
"""In the order in which a name without a type is looked up."""


def _swarm_kind(kind: str) -> Callable[[Client, Options, str], Any]:
    return lambda client, options, name: client.swarm_inspect(f"{kind}s", name)


SWARM_KINDS = {kind: _swarm_kind(kind) for kind in ("config", "node", "secret", "service", "task")}


def _first_of_any(client: Client, options: Options, name: str) -> Any:
    for fetch in ANY_KIND.values():
        try:
            return fetch(client, options, name)
        except NotFound:
            continue
    raise NotFound(f"Error: No such object: {name}")


@command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on Docker objects",
    FORMAT,
    boolean("size", "Display total file sizes if the type is container", short="s"),
    string("type", "Only inspect objects of the given type"),
    arity=at_least(1),
)
def anything(session: Session, options: Options, arguments: list[str]) -> int:
    kind = options["type"]
    kinds = {**ANY_KIND, **SWARM_KINDS}
    known = ", ".join(f'"{name}"' for name in sorted(kinds))
    if "type" in options.changed and not kind:
        raise CommandFailed(f"type is empty: must be one of {known}")
    if kind and kind not in kinds:
        raise CommandFailed(f'unknown type: "{kind}": must be one of {known}')
    fetch = kinds.get(kind, _first_of_any)
    return inspect_all(arguments, options["format"], lambda name: fetch(session.client, options, name))
