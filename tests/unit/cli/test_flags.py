from __future__ import annotations

import pytest

from sampan.cli.flags import FlagError, Options, Parser, boolean, integer, many, size, string, strings

FLAGS = (
    boolean("all", "", short="a"),
    boolean("sig-proxy", "", default=True),
    boolean("interactive", "", short="i"),
    boolean("tty", "", short="t"),
    string("name", "", short="n"),
    integer("last", "", short="l", default=-1),
    many("env", "", short="e"),
    strings("subnet", ""),
    size("memory", "", short="m"),
)


def parse(*words: str, interspersed: bool = True) -> tuple[Options, list[str]]:
    return Parser(FLAGS, interspersed).parse(list(words))


def test_forms_of_values() -> None:
    options, rest = parse("-it", "--name=x", "-e", "A=1", "-eB=2", "--env", "C=3", "-l5", "-m=1g", "img")
    assert (options["interactive"], options["tty"], options["name"], options["last"]) == (True, True, "x", 5)
    assert options["env"] == ["A=1", "B=2", "C=3"]
    assert options["memory"] == 1 << 30
    assert rest == ["img"]
    assert options.changed == {"interactive", "tty", "name", "env", "last", "memory"}


def test_booleans_take_values_only_with_an_equals_sign() -> None:
    options, rest = parse("--sig-proxy=false", "--all", "false")
    assert (options["sig-proxy"], options["all"], rest) == (False, True, ["false"])


def test_lists_split_at_commas_only_where_the_kind_says_so() -> None:
    options, _ = parse("--subnet", "a,b", "--env", "A=1,2")
    assert options["subnet"] == ["a", "b"]
    assert options["env"] == ["A=1,2"]


def test_positionals() -> None:
    assert parse("img", "-a", "x")[1] == ["img", "x"]
    assert parse("img", "-a", "x", interspersed=False)[1] == ["img", "-a", "x"]
    assert parse("--", "-a")[1] == ["-a"]
    assert parse("-", "-a")[1] == ["-"]


def test_defaults_are_not_shared() -> None:
    parse("-e", "A")
    assert parse()[0]["env"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bogus"], "unknown flag: --bogus"),
        (["-ax"], "unknown shorthand flag: 'x' in -x"),
        (["-xa"], "unknown shorthand flag: 'x' in -xa"),
        (["--name"], "flag needs an argument: --name"),
        (["-an"], "flag needs an argument: 'n' in -n"),
        (
            ["--last", "x"],
            'invalid argument "x" for "-l, --last" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ["--sig-proxy=maybe"],
            'invalid argument "maybe" for "--sig-proxy" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["-m", "1x"], 'invalid argument "1x" for "-m, --memory" flag: invalid suffix: \'x\''),
    ],
)
def test_errors(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(*words)
    assert str(caught.value) == message
