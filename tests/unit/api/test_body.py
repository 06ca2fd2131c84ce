"""Bodies and queries are read as Go's decoder and Docker's handlers read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from sampan.api import body, query
from sampan.api.query import Query
from sampan.errors import InvalidArgument
from sampan.model.container import CreateRequest


def decode(document: Any) -> CreateRequest:
    return body.decode(json.dumps(document).encode(), CreateRequest)


def test_null_leaves_the_default() -> None:
    request = decode({"Hostname": None, "Image": "x", "StopSignal": None, "Tty": None, "HostConfig": {"Memory": None}})
    assert request.hostname == ""
    assert request.stop_signal is UNSET
    assert request.host_config is not None
    assert request.host_config.memory == 0


def test_null_in_a_map_is_the_zero_value_or_null() -> None:
    request = decode({"Volumes": {"/x": None}, "Labels": {"a": None}, "HostConfig": {"PortBindings": {"80/tcp": None}}})
    assert request.volumes == {"/x": {}}
    assert request.labels == {"a": ""}
    assert request.host_config is not None
    assert request.host_config.port_bindings == {"80/tcp": None}


def test_names_match_whatever_their_case() -> None:
    assert decode({"image": "x", "hostconfig": {"shmsize": 5}}).host_config.shm_size == 5  # type: ignore[union-attr] # given


def test_a_command_may_be_one_string() -> None:
    assert decode({"Cmd": "true", "Entrypoint": ["sh"]}).cmd == ["true"]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"Image": 5}, "json: cannot unmarshal number into Go struct field .Image of type string"),
        ({"Tty": "x"}, "json: cannot unmarshal string into Go struct field .Tty of type bool"),
        ({"HostConfig": []}, "json: cannot unmarshal array into Go struct field .HostConfig of type HostConfig"),
        ({"HostConfig": {"Memory": True}}, "unmarshal bool into Go struct field .HostConfig.Memory of type int64"),
        ({"Env": {"a": "b"}}, "json: cannot unmarshal object into Go struct field .Env of type []string"),
        ({"HostConfig": {"Memory": 1 << 63}}, f"cannot unmarshal number {1 << 63}"),
        ({"HostConfig": {"Memory": 1.5}}, "number 1.5 into Go struct field .HostConfig.Memory of type int64"),
        ([], "json: cannot unmarshal array into Go value"),
    ],
)  # fmt: skip
def test_wrong_types_are_named_as_go_names_them(document: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(document)
    assert text in str(caught.value)


@pytest.mark.parametrize("data", [b"{", b"{}x", b"\xff", b"[" * 100_000, b'{"Image": "\\ud800"}'])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        body.decode(data, CreateRequest)


@pytest.mark.parametrize(
    ("text", "value"),
    [("", False), ("0", False), ("no", False), ("False", False), ("none", False), ("1", True), ("x", True)],
)
def test_booleans_of_a_query(text: str, value: bool) -> None:
    assert Query(f"a={text}").flag("a") is value


def test_numbers_and_moments_of_a_query() -> None:
    asked = Query("n=-5&t=1700000000.25&r=2023-11-14T22:13:20.25Z&z=2023-11-14T23:13:20%2B01:00&x=12z")
    assert asked.number("n") == -5
    assert asked.number("missing", 3) == 3
    assert asked.optional_number("missing") is None
    assert asked.time_ns("t") == asked.time_ns("r") == 1_700_000_000_250_000_000
    assert asked.time_ns("z") == 1_700_000_000_000_000_000
    for name in ("x", "r"):
        with pytest.raises(InvalidArgument):
            asked.number(name)
    with pytest.raises(InvalidArgument):
        asked.time_ns("x")


def test_both_forms_of_filters() -> None:
    assert query.parse_filters('{"label":{"a=b":true},"status":["exited"]}') == {"label": ["a=b"], "status": ["exited"]}
    for text in ("x", "[]", '{"a":1}', '{"a":{"b":1}}', '{"a":[1]}', "5"):
        with pytest.raises(InvalidArgument, match="invalid filter"):
            query.parse_filters(text)
