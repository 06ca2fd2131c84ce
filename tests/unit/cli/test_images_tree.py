"""`images --tree` lays its columns out as Docker's client does."""

from __future__ import annotations

from typing import Any

from sampan.cli.images_tree import render


def image(name: str, *platforms: tuple[str, bool], used: bool = False) -> Any:
    manifests = [
        {
            "ID": f"sha256:{index}{'b' * 63}",
            "Available": available,
            "Kind": "image",
            "Size": {"Total": 3_000_000, "Content": 1_000_000},
            "ImageData": {
                "Platform": dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False)),
                "Containers": ["c"] if used else [],
            },
        }
        for index, (platform, available) in enumerate(platforms)
    ]
    return {
        "Id": "sha256:" + "a" * 64,
        "RepoTags": [name, f"{name}2"] if name else [],
        "Size": 7,
        "Containers": 0,
        "Manifests": manifests,
    }


def test_platforms_hang_below_their_image() -> None:
    images = [
        image("box:1", ("linux/amd64", True), ("linux/arm/v7", True), ("linux/s390x", False), used=True),
        image(""),
    ]
    assert list(render(images, 60))[1:] == [
        "Info ->  U In Use ".rjust(60),
        "",
        "IMAGE             ID             DISK USAGE   CONTENT SIZE   EXTRA",
        "box:1",
        "box:12            aaaaaaaaaaaa          6MB            2MB    U   ",
        "├─ linux/amd64    0bbbbbbbbbbb          3MB            1MB    U   ",
        "└─ linux/arm/v7   1bbbbbbbbbbb          3MB            1MB    U   ",
        "",
        "<untagged>        aaaaaaaaaaaa           7B             0B        ",
    ]
