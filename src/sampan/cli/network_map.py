"""`network map` and `network check` (Sampan only)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from .command import CommandFailed, between, command
from .flags import Options, string
from .session import Session

FORMAT = string("format", "'json' prints the daemon's answer as it is")


def _check_format(options: Options) -> bool:
    if options["format"] not in ("", "json"):
        raise CommandFailed(f"unknown format {options['format']!r}: only json is known here")
    return bool(options["format"])


@command("[OPTIONS]", "Show networks with the running containers on them", FORMAT)
def show_map(session: Session, options: Options, arguments: list[str]) -> int:
    as_json = _check_format(options)
    found = session.client.network_map()
    if as_json:
        session.say(json.dumps(found))
        return 0
    sys.stdout.write("".join(line + "\n" for network in found for line in map_lines(network)))
    return 0


def map_lines(network: dict[str, Any]) -> Iterator[str]:
    """A network with its containers below it, as a tree."""
    notes = [network["Driver"], *network["Subnets"], *([network["Link"]] if network["Link"] else [])]
    if network["Internal"]:
        notes.append("internal")
    yield f"{network['Name']} ({', '.join(notes)})"
    members = network["Members"]
    for position, member in enumerate(members, 1):
        branch = "└─" if position == len(members) else "├─"
        facts = [*member["Addresses"], *member["Ports"]]
        yield f"{branch} {member['Name']}  {'  '.join(facts)}".rstrip()


@command(
    "[OPTIONS] FROM TO[:PORT] | FROM TO PORT",
    "Tell whether one running container reaches another (on a TCP port), and if not, what stops it.\n"
    "The exit code is 1 when it does not.",
    FORMAT,
    arity=between(2, 3),
)
def check(session: Session, options: Options, arguments: list[str]) -> int:
    as_json = _check_format(options)
    target, colon, port = arguments[1].partition(":")
    port = arguments[2] if len(arguments) == 3 else port
    if (colon or len(arguments) == 3) and not port.isdigit():
        raise CommandFailed(f"invalid port {port!r}")
    found = session.client.network_check(arguments[0], target, int(port) if port else None)
    if as_json:
        session.say(json.dumps(found))
    else:
        session.say(" -> ".join(found["Path"]))
        verdict = "reachable" if found["Reachable"] else f"not reachable: {found['Reason']}"
        session.say(verdict + (" (a connection was made)" if found["Probed"] and found["Reachable"] else ""))
    return 0 if found["Reachable"] else 1
