"""`version`."""

from __future__ import annotations

import sys

from sampan import __version__
from sampan.client.negotiation import API_VERSION
from sampan.errors import SampanError

from .command import CommandFailed, command
from .flags import Options, string
from .main import describe
from .template_values import TemplateError
from .usage import INSPECT_FORMAT_USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .session import Session

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
ENGINE_ROWS = (
    ("Version", "Version"),
    ("API version", "ApiVersion"),
    ("Go version", "GoVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
)


def client_version(session: Session) -> dict[str, Any]:
    import os

    machine = os.uname().machine
    return {
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "PythonVersion": sys.version.split()[0],
        "Os": "linux",
        "Arch": ARCHITECTURES.get(machine, machine),
        "BuildTime": "",
        "Context": session.host.context,
    }


@command("[OPTIONS]", "Show the Sampan version information", string("format", INSPECT_FORMAT_USAGE, short="f"))
def version(session: Session, options: Options, arguments: list[str]) -> int:
    template = None
    if options["format"]:
        from . import formats

        template = formats.of_value(options["format"])
    client = client_version(session)
    server, failure = None, ""
    try:
        server = session.client.version()
        client["ApiVersion"] = session.client.api_version
    except SampanError as error:
        failure = describe(error)
    data = {"Client": client, "Server": server}
    try:
        sys.stdout.write(template.render(data) + "\n" if template else _layout(client, server))
    except TemplateError as error:
        raise CommandFailed(str(error)) from None
    if failure:
        raise CommandFailed(failure)
    return 0


def _row(indent: int, width: int, name: str, value: object) -> str:
    return f"{' ' * indent}{(name + ':').ljust(width)}{value}".rstrip(" ") + "\n"


def _layout(client: dict[str, Any], server: dict[str, Any] | None) -> str:
    rows = [
        ("Version", client["Version"]),
        ("API version", client["ApiVersion"]),
        ("Python version", client["PythonVersion"]),
        ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
        ("Context", client["Context"]),
    ]
    text = "Client:\n" + "".join(_row(1, 19, name, value) for name, value in rows)
    return text + (_server(server) if server else "")


def _server(server: dict[str, Any]) -> str:
    platform = (server.get("Platform") or {}).get("Name", "")
    text = f"\nServer:{' ' + platform if platform else ''}\n"
    for component in server.get("Components") or [_old_component(server)]:
        text += f" {component['Name']}:\n"
        details = component.get("Details") or {}
        text += _engine(component, details) if component["Name"] == "Engine" else _component(component, details)
    return text


def _old_component(server: dict[str, Any]) -> dict[str, Any]:
    """Daemons before API 1.35 list no components."""
    return {"Name": "Engine", "Version": server.get("Version", ""), "Details": server}


def _engine(component: dict[str, Any], details: dict[str, Any]) -> str:
    values = {**details, "Version": component["Version"], "BuildTime": _ansi_c(details.get("BuildTime", ""))}
    if values.get("MinAPIVersion"):
        values["ApiVersion"] = f"{values['ApiVersion']} (minimum version {values['MinAPIVersion']})"
    text = "".join(_row(2, 18, name, values.get(key, "")) for name, key in ENGINE_ROWS if values.get(key) is not None)
    text += _row(2, 18, "OS/Arch", f"{values.get('Os', '')}/{values.get('Arch', '')}")
    return text + _row(2, 18, "Experimental", values.get("Experimental", "false"))


def _ansi_c(text: str) -> str:
    """`Tue Sep 15 11:02:57 2026` of an RFC 3339 time; other texts stay."""
    from _datetime import datetime  # type: ignore[import-not-found] # the C half: the other takes 2 ms

    try:
        return str(datetime.fromisoformat(text[:19]).strftime("%a %b %e %H:%M:%S %Y"))
    except ValueError:
        return text


def _component(component: dict[str, Any], details: dict[str, Any]) -> str:
    text = _row(2, 18, "Version", component["Version"])
    return text + "".join(f"  {(name + ':').ljust(18)}{details[name]}\n" for name in sorted(details))
