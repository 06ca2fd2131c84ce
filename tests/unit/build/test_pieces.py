"""The parts of a builder that need no engine: graphs, modes, bake files, secrets' flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sampan.build.explain import differences
from sampan.build.frontend.files import file_name, git_source, is_git
from sampan.build.graph import SCRATCH, Files, MakeFile, Remove, Vertex, walk
from sampan.build.writing import change_mode
from sampan.cli.bake_file import BakeFile
from sampan.cli.bake_flags import flags_of
from sampan.cli.build_output import parse_output
from sampan.cli.build_secrets import read_secret
from sampan.cli.command import CommandFailed
from sampan.errors import InvalidArgument


def _step(name: str, *inputs: Vertex) -> Vertex:
    return Vertex(
        op=Files((MakeFile(target=f"/{name}", name=name, data=name.encode()),)), inputs=inputs or (SCRATCH,), name=name
    )


def test_equal_steps_are_one_and_come_after_their_inputs() -> None:
    base = _step("base")
    top = _step("top", _step("a", base), _step("b", _step("base")))
    names = [vertex.name for vertex in walk(top)]
    assert names == ["scratch", "base", "a", "b", "top"]
    assert Vertex(op=Files((Remove(path="/x"),)), inputs=(base,)).definition != base.definition


@pytest.mark.parametrize(
    ("mode", "change", "directory", "wanted"),
    [
        (0o644, "755", False, 0o755), (0o644, "", False, 0o644), (0o600, "a+x", False, 0o711),
        (0o640, "go-r", False, 0o600), (0o644, "u=rwX,go=rX", False, 0o644), (0o700, "u=rwX,go=rX", True, 0o755),
        (0o755, "u+s,+t", False, 0o5755), (0o777, "o=", False, 0o770),
    ],
)  # fmt: skip
def test_modes(mode: int, change: str, directory: bool, wanted: int) -> None:
    assert oct(change_mode(mode, change, is_directory=directory)) == oct(wanted)


@pytest.mark.parametrize("change", ["9", "u", "q+x", "u+q", "u=r,,"])
def test_bad_modes(change: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid chmod parameter"):
        change_mode(0o644, change, is_directory=False)


def test_urls() -> None:
    assert git_source("https://h/r.git#v1:a/../b") == git_source("https://h/r.git#v1:b")
    assert git_source("git@h:r.git").ref == ""
    urls = ("https://h/r.git", "https://h/r.git#x", "https://h/r.gitx", "git@h:r", "/x.git")
    assert [is_git(url) for url in urls] == [True, True, False, True, False]
    assert [file_name(url) for url in ("http://h/a/b.c?q", "http://h", "http://h/..")] == [
        "b.c",
        "download",
        "download",
    ]


def test_reasons_for_a_miss() -> None:
    step = _step("x")
    before = {"parent": "1", "env:A": "1", "file:f": "1", "file:g": "1", "instruction": "x"}
    now = {"parent": "2", "env:B": "1", "file:f": "2", "file:h": "1", "instruction": "y"}
    assert differences(before, now, step) == (
        "the step before it gave another result", "variable removed: A", "variable added: B",
        "the instruction itself changed", "file changed: f", "file removed: g", "file added: h",
    )  # fmt: skip
    assert differences(None, now, step) == ("the step has not run before",)


def test_bake_files(tmp_path: Path) -> None:
    """What a target becomes; what targets are, tests/compat/build/test_bake.py compares with buildx."""
    path = tmp_path / "bake.json"
    path.write_text(json.dumps({
        "group": {"default": {"targets": ["all"]}, "all": {"targets": ["a"]}},
        "target": {
            "base": {"args": {"X": "1", "Y": "1"}},
            "a": {"inherits": ["base"], "args": {"Y": "2"}, "context": "c", "dockerfile": "D", "no-cache": True,
                  "tags": ["t"], "output": [{"type": "local", "dest": "o"}], "ssh": ["default", "k=/a,/b"],
                  "extra-hosts": {"h": "1.2.3.4"}, "cache-from": ["u/c"]},
            "inline": {"dockerfile-inline": "FROM x"},
            "noted": {"annotations": ["a=b"], "attest": ["type=provenance,mode=min"]},
        },
    }))  # fmt: skip
    (tmp_path / "c").mkdir()
    found = BakeFile([str(path)])
    assert found.named([]) == ["a"]
    target = {**found.resolved("a"), "context": str(tmp_path / "c")}
    assert flags_of(target, str(tmp_path)) == [
        f"--file={tmp_path}/c/D", "--tag=t", "--output=type=local,dest=o", "--ssh=default", "--ssh=k=/a,/b",
        "--cache-from=type=registry,ref=u/c", "--build-arg=X=1", "--build-arg=Y=2", "--add-host=h:1.2.3.4",
        "--no-cache",
    ]  # fmt: skip
    assert flags_of(found.resolved("inline"), str(tmp_path)) == [f"--file={tmp_path}/Dockerfile"]
    assert (tmp_path / "Dockerfile").read_text() == "FROM x"
    assert flags_of(found.resolved("noted"), str(tmp_path)) == ["--annotation=a=b", "--attest=type=provenance,mode=min"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"target": {"a": {"contxt": "x"}}}, "target a: unknown key contxt"),
        ({"target": {"a": {"args": {"X": "${NOPE}"}}}}, 'There is no variable named "NOPE"'),
        ({"target": {"a": {"args": {"X": "${upper(1)}"}}}}, "only names of variables are filled in"),
        ({"target": {"a": {"matrix": {"x": ["1"]}}}}, "target a: a matrix needs a name"),
        ([], "is not a mapping"),
    ],
)
def test_mistakes_in_bake_files(document: object, said: str, tmp_path: Path) -> None:
    (tmp_path / "bake.json").write_text(json.dumps(document))
    with pytest.raises(CommandFailed) as refused:
        BakeFile([str(tmp_path / "bake.json")])
    assert said in str(refused.value)


def test_flags_of_secrets_and_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_text("file")
    monkeypatch.setenv("TOKEN", "environment")
    assert read_secret(f"id=a,src={tmp_path}/s") == ("a", b"file")
    assert read_secret("id=TOKEN") == ("TOKEN", b"environment")
    assert read_secret("type=env,id=b,env=TOKEN") == ("b", b"environment")
    with pytest.raises(CommandFailed, match="no such file"):
        read_secret("id=a,src=/nonesuch")
    assert [(one.kind, one.dest) for one in map(parse_output, ("out", "-", "type=oci,dest=f", "type=tar"))] == [
        ("local", "out"), ("tar", "-"), ("oci", "f"), ("tar", "-"),
    ]  # fmt: skip
    with pytest.raises(CommandFailed):
        parse_output("type=local")
