from __future__ import annotations

import pytest

from sampan.errors import InvalidArgument
from sampan.oci import reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
        ("foo/bar", "docker.io/foo/bar", "foo/bar"),
        ("library/foo/bar", "docker.io/library/foo/bar", "library/foo/bar"),
        ("localhost/foo", "localhost/foo", "localhost/foo"),
        ("localhost:5000/foo:v1", "localhost:5000/foo:v1", "localhost:5000/foo:v1"),
        ("Uppercase/bar", "Uppercase/bar", "Uppercase/bar"),
        ("[::1]:5000/repo", "[::1]:5000/repo", "[::1]:5000/repo"),
        ("a.b/c@" + DIGEST, "a.b/c@" + DIGEST, "a.b/c@" + DIGEST),
        ("busybox:x@" + DIGEST, f"docker.io/library/busybox:x@{DIGEST}", f"busybox:x@{DIGEST}"),
        ("foo_bar__baz.x-y--z", "docker.io/library/foo_bar__baz.x-y--z", "foo_bar__baz.x-y--z"),
    ],
)
def test_names_are_normalised_as_distribution_does(text: str, full: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert (str(parsed), parsed.familiar) == (full, familiar)
    assert reference.parse(familiar) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("a/Foo", "invalid reference format: repository name (a/Foo) must be lowercase"),
        ("-foo", "invalid reference format"),
        ("foo:", "invalid reference format"),
        ("foo//bar", "invalid reference format"),
        ("foo:" + "t" * 129, "invalid reference format"),
        ("../../etc/passwd", "invalid reference format"),
        ("foo@sha256:abc", "invalid reference format"),
        ("foo@sha256:" + "a" * 63, "invalid checksum digest length"),
        ("foo@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("x" * 260, "repository name must not be more than 255 characters"),
    ],
)
def test_bad_names_are_refused_in_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        reference.parse(text)
    assert str(caught.value) == message


def test_default_tag_and_repository() -> None:
    parsed = reference.parse("busybox").with_default_tag()
    assert parsed.tag == "latest"
    assert reference.parse("busybox@" + DIGEST).with_default_tag().tag == ""
    assert parsed.with_digest(DIGEST).familiar == f"busybox@{DIGEST}"
    with pytest.raises(InvalidArgument, match="invalid tag format"):
        parsed.tagged("no good")
