"""Every name in the tree is a command with a consistent table of flags."""

from __future__ import annotations

import pytest

from sampan.cli import tree
from sampan.cli.command import Command
from sampan.cli.flags import Parser
from sampan.cli.main import main

ENTRIES = sorted(
    {
        f"{group} {name}": entry for group, (entries, _) in tree.all_groups().items() for name, entry in entries.items()
    }.items()
) + sorted(tree.TOP.items())


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=[name for name, _ in ENTRIES])
def test_command_loads_and_shows_help(name: str, entry: tree.Entry, capsys: pytest.CaptureFixture[str]) -> None:
    command = tree.load(entry)
    assert isinstance(command, Command)
    names = [flag.name for flag in command.flags]
    shorts = [flag.short for flag in command.flags if flag.short]
    assert len(names) == len(set(names))
    assert len(shorts) == len(set(shorts))
    Parser(command.flags)
    assert main([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage:  sampan {name}")
    assert max(len(line) for line in out.splitlines() if not line.startswith(("  sampan", "$"))) <= 120


def test_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bogus"]) == 1
    assert capsys.readouterr().err == (
        "sampan: unknown command: sampan bogus\n\nRun 'sampan --help' for more information\n"
    )
    assert main(["container", "bogus"]) == 1
    assert "sampan: unknown command: sampan container bogus\n\nUsage:  sampan container\n" in capsys.readouterr().err
