"""BuildKit's cache documents: ours read back, theirs read, nonsense refused."""

from __future__ import annotations

import json

import pytest

from sampan.build.cacheconfig import CONFIG_TYPE, compose, config_of, inline, parse, parse_inline
from sampan.build.cacheexport import chosen, parse_target
from sampan.build.result import Solved
from sampan.cli.build_cache import parse_cache
from sampan.errors import InvalidArgument
from sampan.image.layers import Layer, chain_on
from sampan.oci import manifest as manifests
from sampan.oci.manifest import OCI_LAYER_GZIP, Descriptor


def _digest(letter: str) -> str:
    return "sha256:" + letter * 64


def _layers(*letters: str) -> tuple[Layer, ...]:
    found: list[Layer] = []
    for letter in letters:
        chain = chain_on(found[-1].chain_id if found else None, _digest(letter))
        found.append(Layer(Descriptor(OCI_LAYER_GZIP, _digest(letter), 7), _digest(letter), chain, 9))
    return tuple(found)


STEPS = {"1" * 64: Solved(_layers("a", "b"), 1000.5), "2" * 64: Solved(_layers("a", "b", "c"), 2000.000001, "e" * 64),
         "3" * 64: Solved(_layers("a", "d"), 3000.0)}  # fmt: skip


def test_what_is_written_can_be_read() -> None:
    cache = compose(STEPS)
    document = manifests.parse(cache.manifest)
    described = config_of(document)
    assert described == cache.config_descriptor and described.media_type == CONFIG_TYPE
    assert [layer.digest for layer in cache.layers] == [_digest(letter) for letter in "abcd"]
    found = parse(cache.config)
    assert {key: [diff_id for _, diff_id in one.layers] for key, one in found.items()} == {
        key: [layer.diff_id for layer in step.layers] for key, step in STEPS.items()
    }
    facts = {key: (step.made, step.definition) for key, step in STEPS.items()}
    assert {key: (one.made, one.definition) for key, one in found.items()} == facts


def test_inline_holds_what_the_image_has() -> None:
    image = _layers("a", "b", "c")
    records = inline(STEPS, image)
    found = parse_inline(records, [one.descriptor for one in image], [one.diff_id for one in image])
    assert set(found) == {"1" * 64, "2" * 64} and found["2" * 64].definition == "e" * 64
    assert set(chosen(STEPS, [image], everything=False)) == {"1" * 64, "2" * 64}
    assert chosen(STEPS, [image], everything=True) == STEPS


def test_buildkits_own() -> None:
    """With inputs, chains and annotations that ours do not have."""
    document = {
        "layers": [
            {"blob": _digest("a"), "annotations": {"diffID": _digest("b"), "size": 3, "mediaType": OCI_LAYER_GZIP,
                                                   "createdAt": "2026-01-01T00:00:00Z"}, "parent": -1},
            {"blob": _digest("c"), "annotations": {"diffID": _digest("d"), "size": 4}},
            {"blob": _digest("e"), "parent": 9},
        ],
        "records": [
            {"digest": _digest("1"), "layers": [{"layer": 1, "createdAt": "2026-01-02T03:04:05.678901234+01:00"}]},
            {"digest": _digest("2"), "inputs": [[{"link": 0, "selector": "sha256:00"}], [{"link": 1}]],
             "chains": [{"layers": [0, 1], "createdAt": "2026-01-01T00:00:00Z"}]},
            {"digest": "random:abc", "layers": [{"layer": 0}]}, {"digest": _digest("3"), "layers": [{"layer": 2}]},
            {"digest": _digest("4"), "layers": [{"layer": 7}, {"layer": -1}]}, {},
        ],
    }  # fmt: skip
    found = parse(json.dumps(document).encode())
    assert set(found) == {"1" * 64}
    assert [diff_id for _, diff_id in found["1" * 64].layers] == [_digest("b"), _digest("d")]
    assert found["1" * 64].made == 1767319445.678901


@pytest.mark.parametrize("text", ["", "[]", '{"layers": 1}', '{"records": [{"layers": [{}]}]}'])
def test_nonsense(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse(text.encode())


def test_a_circle_of_layers_ends() -> None:
    layers = [{"blob": _digest("a"), "parent": number, "annotations": {"diffID": _digest("b")}} for number in (1, 0)]
    assert not parse(json.dumps({"layers": layers, "records": [{"digest": _digest("1"), "layers": [{"layer": 0}]}]})
                     .encode())  # fmt: skip


def test_flags() -> None:
    assert parse_cache("a/b:c") == {"type": "registry", "ref": "a/b:c"}
    assert parse_target(parse_cache("type=local,dest=/x,mode=max")).everything
    for text in ("type=gha", "type=registry,ref=A", "type=inline,ref=a", "type=registry,ref=a,image-manifest=false"):
        with pytest.raises(InvalidArgument):
            parse_target(parse_cache(text))
