"""Every form of a substitution, and .dockerignore patterns."""

from __future__ import annotations

import pytest

from sampan.dockerfile.expand import expand, expand_words, used_names
from sampan.dockerfile.ignore import IgnoreRules, read_patterns
from sampan.errors import InvalidArgument

VARIABLES = {"foo": "bar.baz.tar", "empty": "", "one": "1"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$foo", "bar.baz.tar"), ("${foo}x", "bar.baz.tarx"), ("$unset.", "."), ("a$", "a$"), ("\\$foo", "$foo"),
        ("'$foo'", "$foo"), ('"$foo \\" \\n"', 'bar.baz.tar " \\n'), ("${unset:-d${one}}", "d1"), ("${empty:-d}", "d"),
        ("${empty-d}", ""), ("${foo:+y}", "y"), ("${empty+y}", "y"), ("${unset+y}", ""), ("${foo#*.}", "baz.tar"),
        ("${foo##*.}", "tar"), ("${foo%.*}", "bar.baz"), ("${foo%%.*}", "bar"), ("${foo/ba/X}", "Xr.baz.tar"),
        ("${foo//ba/X}", "Xr.Xz.tar"), ("${foo//.}", "barbaztar"), ("${foo:?x}", "bar.baz.tar"),
    ],
)  # fmt: skip
def test_forms(word: str, value: str) -> None:
    assert expand(word, VARIABLES) == value


@pytest.mark.parametrize("word", ["${foo", "'x", '"x', "${foo!x}", "${unset:?gone}", "${}", "${foo:}"])
def test_mistakes(word: str) -> None:
    with pytest.raises(InvalidArgument):
        expand(word, VARIABLES)


def test_words_split_where_unquoted() -> None:
    assert expand_words("80 $p 'a b'$one", {"p": "81 82", "one": "1"}) == ["80", "81", "82", "a b1"]


def test_used_names() -> None:
    assert used_names("a $x ${y:-$z} '$no'") == {"x", "y", "z"}


def test_dockerignore() -> None:
    rules = IgnoreRules(read_patterns("# note\n*.md\n!README.md\n**/node_modules\n/tmp/\na/*/c\n*/?.[ch]\n"))
    ignored = ["x.md", "d/node_modules/f", "node_modules", "tmp/x", "a/b/c/d", "src/a.c"]
    kept = ["README.md", "d/x.md", "atmp", "a/c", "src/ab.c", "src/a.d"]
    assert [path for path in ignored if not rules.matches(path)] == []
    assert [path for path in kept if rules.matches(path)] == []
