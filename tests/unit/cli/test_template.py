from __future__ import annotations

from typing import Any

import pytest

from sampan.cli.tabular import View, align, show
from sampan.cli.template import Template, TemplateError, TemplateSyntaxError
from sampan.cli.template_values import Fields

DATA: dict[str, Any] = {
    "Name": "/web",
    "Pid": 7,
    "Running": True,
    "Ratio": 0.5,
    "Config": {"Cmd": ["sleep", "1"], "Labels": {"b": "2", "a": "1"}, "Env": None, "Healthcheck": None},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None},
    "Empty": [],
}


def render(source: str) -> str:
    return Template(source).render(DATA)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.Name}} {{.Pid}} {{.Running}} {{.Ratio}}", "/web 7 true 0.5"),
        ("{{json .Config.Cmd}}", '["sleep","1"]'),
        (
            "{{.Config.Cmd}} {{.Config.Labels}} {{.Config.Env}} {{.Config.Healthcheck}}",
            "[sleep 1] map[a:1 b:2] [] <nil>",
        ),
        ('{{.Config.Labels.zz}}|{{index .Config.Labels "zz"}}', "<no value>|"),
        ('{{index .Config.Labels "a"}}{{index .Config.Cmd 1}}{{(index .Ports "80/tcp" 0).HostPort}}', "118080"),
        ("{{range .Config.Cmd}}<{{.}}>{{end}}", "<sleep><1>"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 "),
        ("{{range $i, $v := .Config.Cmd}}{{$i}}{{$v}}{{$.Pid}}{{end}}", "0sleep7117"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ('{{range .Config.Cmd}}{{if eq . "1"}}{{continue}}{{end}}{{.}}{{end}}', "sleep"),
        ("{{range .Config.Cmd}}{{.}}{{break}}{{end}}", "sleep"),
        ("{{if .Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Empty}}a{{else if eq .Pid 7}}b{{else}}c{{end}}", "b"),
        ("{{if and .Running (not .Empty)}}y{{end}}{{if or .Empty .Pid}}z{{end}}", "yz"),
        ("{{with .Config}}{{.Cmd}}{{end}}{{with .Empty}}x{{else}}e{{end}}", "[sleep 1]e"),
        ("{{$x := .Pid}}{{$x}}{{$x = 8}}{{$x}}", "78"),
        ('{{.Name | upper | printf "%q"}}', '"/WEB"'),
        (
            '{{printf "%5d|%-4s|%05.1f|%x|%v|%t" 7 "ab" 1.25 255 .Config.Cmd true}}',
            "    7|ab  |001.2|ff|[sleep 1]|true",
        ),
        ('{{len .Config.Cmd}} {{len .Name}} {{title "ab cd"}} {{lower "AB"}}', "2 4 Ab Cd ab"),
        ('{{join .Config.Cmd ","}} {{split "a:b" ":"}} {{truncate "abcd" 2}}{{pad "x" 1 2}}|', "sleep,1 [a b] ab x  |"),
        ("{{slice .Name 1}} {{slice .Name 1 3}}", "web we"),
        ('{{println .Pid}}{{print 1 2 "x" 3}}', "7\n1 2x3"),
        ("a {{- .Pid -}} b{{/* note */}}c", "a7bc"),
        ("{{`raw`}}{{'a'}}{{\"\\t\\x41\\u00e9\"}}", "raw97\tAé"),
        ('{{define "x"}}<{{.}}>{{end}}{{template "x" .Pid}}', "<7>"),
        ("{{gt .Pid 6}}{{lt .Pid 6}}{{ge 7 7}}{{le 8 7}}{{ne .Pid 7}}{{eq .Pid 1 7}}", "truefalsetruefalsefalsetrue"),
        ('{{html "<a&b>"}}{{urlquery "a b"}}', "&lt;a&amp;b&gt;a+b"),
        ("{{range $p, $c := .Ports}}{{$p}}{{(index $c 0).HostPort}}{{break}}{{end}}", "80/tcp8080"),
    ],
)
def test_renders(source: str, text: str) -> None:
    assert render(source) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{foo}}", 'template: :1: function "foo" not defined'),
        ("{{", "template: :1: unclosed action"),
        ("{{if .Pid}}x", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("\n{{.State}}}}{{$x}}", 'template: :2: undefined variable "$x"'),
        ("{{.Pid | }}", "template: :1: missing value for command"),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
    ],
)
def test_syntax_errors(source: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(source)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Bogus}}", 'template: :1:2: executing "" at <.Bogus>: map has no entry for key "Bogus"'),
        ("{{.Name.X}}", 'template: :1:7: executing "" at <.Name.X>: can\'t evaluate field X in type string'),
        (
            "{{index .Config.Cmd 9}}",
            'template: :1:2: executing "" at <index>: error calling index: index out of range: 9',
        ),
        ("{{lt .Name 1}}", 'template: :1:2: executing "" at <lt>: error calling lt: incompatible types for comparison'),
    ],
)
def test_run_time_errors(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(source)
    assert str(caught.value) == message


VIEW = View(
    "thingContext",
    "ID Name",
    {"ID": ("THING ID", lambda row: row["id"]), "Name": ("NAME", lambda row: row["name"])},
)
ROWS = [{"id": "1", "name": "a>b"}, {"id": "long identifier", "name": "ü"}]


def test_fields_name_the_go_type_that_lacks_one() -> None:
    with pytest.raises(TemplateError, match=r"can't evaluate field X in type \*formatter.thingContext"):
        Template("{{.X}}").render(Fields("thingContext", {}, None))


@pytest.mark.parametrize(
    ("template", "quiet", "text"),
    [
        ("", False, "THING ID          NAME\n1                 a>b\nlong identifier   ü\n"),
        ("", True, "1\nlong identifier\n"),
        ("json", False, '{"ID":"1","Name":"a\\u003eb"}\n{"ID":"long identifier","Name":"ü"}\n'),
        ("table {{.Name}}\\t{{upper .ID}}", False, "NAME      THING ID\na>b       1\nü         LONG IDENTIFIER\n"),
        ("{{.ID}}-{{.Name}}", False, "1-a>b\nlong identifier-ü\n"),
        ("table {{json .Name}}", False, 'NAME\n"a>b"\n"ü"\n'),
    ],
)
def test_listings(template: str, quiet: bool, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(VIEW, ROWS, template, quiet)
    assert capsys.readouterr().out == text


def test_columns_are_as_wide_as_the_widest_cell_of_their_block() -> None:
    assert align("a\tb\n") == "a         b\n"
    assert align("a\tb\n\nlonger than ten\tb\n") == "a         b\n\nlonger than ten   b\n"
