"""`sampan --help`, `sampan GROUP`, and what is said about unknown commands."""

from __future__ import annotations

import sys

from . import tree, usage

FOOTER = "Run 'sampan COMMAND --help' for more information on a command."


def top(words: list[str]) -> int:
    from .main import GLOBAL_FLAGS

    common = [(name, tree.TOP[name][1]) for name in tree.COMMON]
    groups = [(name, summary) for name, (_, summary) in sorted(tree.all_groups().items())]
    others = [
        (name, summary) for name, (_, summary) in sorted(tree.TOP.items()) if name not in (*tree.COMMON, *tree.HIDDEN)
    ]
    width = max(len(name) for name, _ in (*groups, *others))
    sections = [
        "Usage:  sampan [OPTIONS] COMMAND",
        "A self-sufficient runtime for containers",
        usage.listing("Common Commands", common, width),
        usage.listing("Management Commands", groups, width),
        usage.listing("Commands", others, width),
        "Global Options:\n" + usage.flag_lines(list(GLOBAL_FLAGS), usage.terminal_width() - 1),
        FOOTER,
    ]
    sys.stdout.write("\n\n".join(sections) + "\n")
    return 0


def group_or_unknown(words: list[str]) -> int:
    groups = tree.all_groups()
    name = words[0]
    if name not in groups:
        return unknown(name, "")
    rest = words[1:]
    if rest and not rest[0].startswith("-"):
        return unknown(" ".join(words[:2]), name)
    if rest and rest[0] not in ("--help", "-h"):
        return bad_flag(name, rest[0])
    entries, summary = groups[name]
    sections = [
        f"Usage:  sampan {name} COMMAND",
        summary,
        usage.listing("Commands", [(word, text) for word, (_, text) in entries.items()]),
        f"Run 'sampan {name} COMMAND --help' for more information on a command.",
    ]
    # Asked for, it is output; shown for want of a command, it is advice.
    (sys.stdout if rest else sys.stderr).write("\n\n".join(sections) + "\n")
    return 0


def unknown(command: str, group: str) -> int:
    sys.stderr.write(f"sampan: unknown command: sampan {command}\n\n")
    if group:
        sys.stderr.write(f"Usage:  sampan {group}\n\n")
    sys.stderr.write(f"Run 'sampan {group + ' ' if group else ''}--help' for more information\n")
    return 1


def bad_flag(group: str, flag: str) -> int:
    kind = f"unknown flag: {flag}" if flag.startswith("--") else f"unknown shorthand flag: '{flag[1:2]}' in {flag}"
    sys.stderr.write(f"{kind}\n\nUsage:  sampan {group}\n\nRun 'sampan {group} --help' for more information\n")
    return 125
