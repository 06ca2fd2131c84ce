"""Instructions in all their forms."""

from __future__ import annotations

import pytest

from sampan.dockerfile.errors import DockerfileError, excerpt
from sampan.dockerfile.mounts import RunMount, parse_mount
from sampan.dockerfile.parser import Flag, parse
from sampan.dockerfile.stages import plan
from sampan.errors import InvalidArgument


def one(text: str):
    return parse(text).instructions[0]


@pytest.mark.parametrize(
    ("text", "arguments", "exec_form"),
    [
        ("RUN echo hi", ("echo hi",), False),
        ('RUN ["echo", "hi"]', ("echo", "hi"), True),
        ("RUN ['echo']", ("['echo']",), False),
        ("run a \\\n  # comment\n\n  b", ("a   b",), False),
        ("CMD []", (), True),
        ("ENV a=1 b='x y' c=d\\ e", ("a", "1", "b", "'x y'", "c", "d\\ e"), False),
        ("ENV name the rest  of it", ("name", "the rest  of it"), False),
        ("LABEL a.b=c", ("a.b", "c"), False),
        ("COPY a b /c/", ("a", "b", "/c/"), False),
        ('COPY ["a b", "/c"]', ("a b", "/c"), True),
        ("EXPOSE 80 443/tcp", ("80", "443/tcp"), False),
        ("HEALTHCHECK NONE", ("NONE",), False),
        ('HEALTHCHECK CMD ["true"]', ("CMD", "true"), True),
        ("HEALTHCHECK CMD curl -f x", ("CMD-SHELL", "curl -f x"), False),
        ("WORKDIR /a b", ("/a b",), False),
        ('SHELL ["/bin/bash", "-c"]', ("/bin/bash", "-c"), True),
        ("RUN a \\\\", ("a \\\\",), False),
    ],
)
def test_forms(text: str, arguments: tuple[str, ...], exec_form: bool) -> None:
    instruction = one(text)
    assert (instruction.arguments, instruction.exec_form) == (arguments, exec_form)


def test_flags_keep_order_and_lose_quotes() -> None:
    flags = one('COPY --from=x --chown="1:2" --link a b').flags
    assert flags == (Flag("from", "x"), Flag("chown", "1:2"), Flag("link", None))


def test_heredocs() -> None:
    instruction = one("RUN <<EOF cat >f && cat <<-'TWO'\n$a\nEOF\n\tb\n\tTWO\n")
    assert [(doc.name, doc.content, doc.expand) for doc in instruction.heredocs] == [
        ("EOF", "$a\n", True), ("TWO", "b\n", False),
    ]  # fmt: skip


def test_escape_directive() -> None:
    assert one("# escape=`\nRUN a `\n b\\\n").arguments == ("a  b\\",)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("FROM a\nRUNN x", "unknown instruction: RUNN", 2),
        ("FROM a\n\nENV a=1 b", 'Syntax error - can\'t find = in "b"', 3),
        ("FROM a\nRUN <<E\nx", "unterminated heredoc", 2),
        ("FROM a\nONBUILD ONBUILD RUN x", "Chaining ONBUILD", 2),
        ("FROM a\nHEALTHCHECK FOO x", 'Unknown type "FOO"', 2),
        ("FROM a\nRUN", "RUN requires at least one argument", 2),
        ("# escape=x\nFROM a", "invalid escape token", 1),
        ("# only a comment", "file with no instructions", 0),
    ],
)
def test_mistakes_name_their_line(text: str, message: str, line: int) -> None:
    with pytest.raises(DockerfileError, match=message.replace("(", r"\(")) as caught:
        parse(text)
    assert caught.value.line == line
    if line:
        assert ">>>" in excerpt(text, "Dockerfile", caught.value.line, caught.value.word)


def test_suggestion() -> None:
    with pytest.raises(DockerfileError, match="did you mean FROM"):
        parse("FRON a")


def test_stages_and_global_args() -> None:
    parsed = parse(
        "ARG V=1\nARG B=img:$V\nFROM $B AS First\nRUN a\nFROM first\nFROM --platform=linux/arm64 scratch AS x"
    )
    stages = plan(parsed, {"V": "2"})
    assert [stage.base for stage in stages.stages] == ["img:2", "first", "scratch"]
    assert stages.stages[1].parent is stages.stages[0]
    assert stages.find("X") is stages.stages[2]
    assert stages.find("0") is stages.stages[0]
    with pytest.raises(InvalidArgument, match='target stage "y" could not be found'):
        stages.find("y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1x", "invalid name for build stage"),
        ("FROM $nothing", "should not be blank"),
        ("FROM a\nCOPY --form=x a b", "unknown flag: --form"),
        ("FROM a\nRUN --network x", "missing a value on flag: --network"),
        ("RUN x\nFROM a", "no build stage in current context"),
    ],
)
def test_stage_mistakes(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        plan(parse(text), {})


def test_run_mounts() -> None:
    assert parse_mount("type=cache,target=/c,sharing=locked,mode=0755,uid=1") == RunMount(
        "cache", "/c", sharing="locked", mode=0o755, uid=1
    )
    assert parse_mount("target=/x,from=b,source=/y,rw").read_only is False
    assert parse_mount("type=tmpfs,dst=/t,size=64m").size == 64 << 20
    for bad in ("type=foo,target=/", "type=cache", "type=tmpfs,target=/,from=x", "type=cache,target=/,sharing=no", "x"):
        with pytest.raises(InvalidArgument):
            parse_mount(bad)


@pytest.mark.parametrize(
    ("line", "marked"),
    [
        ("COPY --chwon=1 a /", "--chwon"), ("  RUN --network=none --network=none x", "--network"), ("RUMM x", "RUMM"),
        ("ENV a=1 b", " b"), ("COPY --link=maybe a /", "--link"),
    ],
)  # fmt: skip
def test_the_caret_is_under_what_is_wrong(line: str, marked: str) -> None:
    text = f"FROM a\n{line}\n"
    with pytest.raises(DockerfileError) as caught:
        plan(parse(text), {})
    shown = excerpt(text, "Dockerfile", caught.value.line, caught.value.word).splitlines()
    place = next(row for row in shown if ">>>" in row)
    caret = shown[shown.index(place) + 1]
    assert caret.strip() == "^" and place[caret.index("^") :].startswith(marked.strip()), "\n".join(shown)
