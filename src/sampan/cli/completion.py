"""Shell completion: a script per shell that asks `sampan __complete`, which knows flags, commands and live names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from sampan.errors import SampanError

from . import tree
from .command import Command, CommandFailed, command, exactly
from .session import GlobalOptions, Session

if TYPE_CHECKING:
    from sampan.client.sync import Client

    from .flags import Options

BASH = """\
_sampan() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(sampan __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" -- "${COMP_WORDS[COMP_CWORD]}" \\
        2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sampan sampan
"""
ZSH = """\
#compdef sampan
_sampan() {
    local -a found
    found=("${(@f)$(sampan __complete "${words[@]:1:$((CURRENT-2))}" -- "${words[CURRENT]}" 2>/dev/null)}")
    compadd -- "${found[@]}" || _files
}
compdef _sampan sampan
"""
FISH = """\
function __sampan_complete
    set -l words (commandline -opc)
    sampan __complete $words[2..-1] -- (commandline -ct) 2>/dev/null
end
complete -c sampan -a '(__sampan_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@command("bash|zsh|fish", "Generate the autocompletion script for the specified shell", arity=exactly(1))
def completion(session: Session, options: Options, arguments: list[str]) -> int:
    script = SCRIPTS.get(arguments[0])
    if script is None:
        raise CommandFailed(f"unknown shell {arguments[0]!r}: must be one of {', '.join(SCRIPTS)}")
    sys.stdout.write(script)
    return 0


def _containers(running: bool) -> Callable[[Client], list[str]]:
    def find(client: Client) -> list[str]:
        records = client.container_list(all=not running)
        return [name.removeprefix("/") for record in records for name in record["Names"]]

    return find


def _images(client: Client) -> list[str]:
    return [tag for image in client.image_list() for tag in image.get("RepoTags") or ()]


def _networks(client: Client) -> list[str]:
    return [network["Name"] for network in client.network_list()]


def _volumes(client: Client) -> list[str]:
    return [volume["Name"] for volume in client.volume_list().get("Volumes") or ()]


RUNNING, ANY = _containers(True), _containers(False)
ARGUMENTS: dict[str, Callable[[Client], list[str]]] = {
    **dict.fromkeys(("attach", "exec", "kill", "pause", "restart", "stats", "stop", "top", "unpause"), RUNNING),
    **dict.fromkeys(("commit", "cp", "diff", "export", "logs", "port", "rename", "rm", "start", "update", "wait"), ANY),
    **dict.fromkeys(("create", "run", "history", "push", "rmi", "save", "tag", "pull", "images"), _images),
    "inspect": lambda client: [*ANY(client), *_images(client), *_networks(client), *_volumes(client)],
}
GROUP_ARGUMENTS: dict[str, Callable[[Client], list[str]]] = {
    "image": _images,
    "network": _networks,
    "volume": _volumes,
}


def complete(options: GlobalOptions, words: list[str]) -> int:
    """`WORDS... -- CURRENT`: print what could stand at the cursor."""
    current = words[-1] if "--" in words else ""
    before = words[: words.index("--")] if "--" in words else words
    for candidate in candidates(options, before, current):
        if candidate.startswith(current):
            sys.stdout.write(candidate + "\n")
    return 0


def candidates(options: GlobalOptions, before: list[str], current: str) -> list[str]:
    groups = tree.all_groups()
    if not before:
        return sorted([*groups, *(name for name in tree.TOP if name not in tree.HIDDEN)])
    if before[0] in groups and len(before) == 1:
        return list(groups[before[0]][0])
    found = tree.find(before)
    if found is None:
        return []
    name, entry, _ = found
    if current.startswith("-"):
        return flag_names(tree.load(entry))
    return _live_names(options, name)


def flag_names(found: Command) -> list[str]:
    long = [f"--{flag.name}" for flag in found.flags if not flag.hidden]
    return [*long, *(f"-{flag.short}" for flag in found.flags if flag.short), "--help"]


def _live_names(options: GlobalOptions, name: str) -> list[str]:
    group, _, word = name.partition(" ")
    finder = GROUP_ARGUMENTS.get(group) if word and group != "container" else ARGUMENTS.get(word or group)
    if finder is None:
        return []
    session = Session(options, name)
    try:
        # Completion never starts a daemon.
        session.host.chosen = True
        return finder(session.client)
    except (SampanError, CommandFailed):
        return []
    finally:
        session.close()
