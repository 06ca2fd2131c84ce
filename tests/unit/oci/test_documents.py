from __future__ import annotations

import json

import pytest

from sampan.errors import InvalidArgument
from sampan.oci import config, digest, manifest, platform

BLOB = {"mediaType": manifest.OCI_LAYER_GZIP, "digest": "sha256:" + "b" * 64, "size": 3}


def document(**keys: object) -> bytes:
    return json.dumps({"schemaVersion": 2, **keys}).encode()


def test_a_manifest_survives_a_round_trip() -> None:
    data = document(mediaType=manifest.OCI_MANIFEST, config=BLOB, layers=[BLOB], annotations={"a": "b"})
    parsed = manifest.parse(data, manifest.OCI_MANIFEST)
    assert isinstance(parsed, manifest.Manifest)
    assert manifest.parse(manifest.encode(parsed)) == parsed


@pytest.mark.parametrize(
    ("data", "claimed"),
    [
        (document(config=BLOB, layers=[BLOB], manifests=[BLOB]), ""),
        (document(mediaType=manifest.OCI_INDEX, config=BLOB, layers=[BLOB]), ""),
        (document(mediaType=manifest.OCI_MANIFEST, manifests=[BLOB]), ""),
        (document(mediaType=manifest.OCI_MANIFEST, config=BLOB, layers=[BLOB]), manifest.DOCKER_MANIFEST),
        (document(manifests=[BLOB]), manifest.OCI_MANIFEST),
        (document(config={**BLOB, "digest": "sha256:../../../etc"}, layers=[]), ""),
        (document(config={**BLOB, "size": -1}, layers=[]), ""),
        (json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), ""),
        (b"[]", ""),
        (b"{", ""),
        (b" " * (manifest.MAX_MANIFEST_SIZE + 1), ""),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(data: bytes, claimed: str) -> None:
    with pytest.raises(InvalidArgument):
        manifest.parse(data, claimed)


def test_chain_ids() -> None:
    first, second = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    assert digest.chain_ids([first, second]) == [first, digest.of_bytes(f"{first} {second}".encode())]


@pytest.mark.parametrize("text", ["sha256:" + "A" * 64, "sha256:" + "a" * 63, "../x", "sha256:" + "a" * 63 + "/", ""])
def test_digest_grammar_is_strict(text: str) -> None:
    with pytest.raises(InvalidArgument):
        digest.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/arm", "linux/arm/v7"),
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/x86_64", "linux/amd64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_platforms_are_normalised(text: str, expected: str) -> None:
    assert str(platform.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "linux/", "nonsense", "a/b/c/d", "linux/ä"])
def test_bad_platforms(text: str) -> None:
    with pytest.raises(InvalidArgument):
        platform.parse(text)


def test_arm_variants_are_ranked() -> None:
    v7 = platform.parse("linux/arm/v7")
    assert platform.rank(v7, platform.parse("linux/arm/v7")) == 0
    assert platform.rank(v7, platform.parse("linux/arm/v6")) == 1
    assert platform.rank(platform.parse("linux/arm/v6"), v7) is None
    assert platform.rank(platform.parse("linux/arm64"), v7) is not None
    assert platform.rank(platform.parse("linux/arm64"), v7, strict=True) is None


def test_configuration_keeps_dockers_fields() -> None:
    data = json.dumps({
        "architecture": "arm", "variant": "v6", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "docker_version": "28",
        "config": {"Cmd": ["sh"], "Healthcheck": {"Test": ["NONE"]}, "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}},
        "history": [{"created_by": "x", "empty_layer": True}],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]},
    }).encode()  # fmt: skip
    parsed = config.parse(data)
    again = json.loads(config.encode(parsed))
    assert again["rootfs"] == json.loads(data)["rootfs"]
    assert again["config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert str(parsed.platform) == "linux/arm/v6"
    assert config.parse(config.encode(parsed)) == parsed


@pytest.mark.parametrize("times", [{"created": "yesterday"}, {"history": [{"created": "2023-13-01T00:00:00Z"}]}])
def test_a_configuration_with_a_time_that_is_none_is_refused(times: dict[str, object]) -> None:
    """One such image would keep all others from being listed."""
    document = {"architecture": "amd64", "os": "linux", "created": "0001-01-01T00:00:00Z", **times}
    with pytest.raises(InvalidArgument, match="invalid image configuration: "):
        config.parse(json.dumps(document).encode())
    document = {"architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20.123456789+01:00"}
    assert config.parse(json.dumps(document).encode()).created == document["created"]
