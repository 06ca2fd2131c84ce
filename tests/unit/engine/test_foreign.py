"""What `create` says about images of another machine's kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.engine.foreign import warnings
from sampan.oci import platform as platforms
from sampan.oci.platform import Platform

FOREIGN = Platform("riscv64" if platforms.host().architecture != "riscv64" else "s390x", "linux")


def test_a_foreign_image_is_pointed_out(tmp_path: Path) -> None:
    assert warnings(platforms.host(), asked=False) == []
    assert warnings(Platform(), asked=False) == []  # an image that says nothing
    unasked, unable = warnings(FOREIGN, asked=False, handlers=str(tmp_path))
    assert unasked == (
        f"The requested image's platform ({FOREIGN}) does not match the detected host platform "
        f"({platforms.detected()}) and no specific platform was requested"
    )
    assert "no binfmt_misc handler" in unable
    assert warnings(FOREIGN, asked=True, handlers=str(tmp_path)) == [unable]
    handler = tmp_path / f"qemu-{FOREIGN.architecture}"
    handler.write_text("enabled\ninterpreter /usr/bin/qemu\n")
    assert warnings(FOREIGN, asked=True, handlers=str(tmp_path)) == []
    handler.write_text("disabled\n")
    assert warnings(FOREIGN, asked=True, handlers=str(tmp_path)) == [unable]


@pytest.mark.skipif(platforms.host().architecture != "amd64", reason="levels are amd64's")
def test_the_host_is_named_with_its_level_as_docker_does(tmp_path: Path) -> None:
    second = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
    third = f"{second} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
    for flags, shown in (("fpu", "linux/amd64"), (second, "linux/amd64/v2"), (third, "linux/amd64/v3")):
        platforms.detected.cache_clear()
        (tmp_path / "cpuinfo").write_text(f"processor: 0\nflags\t\t: {flags}\n")
        assert str(platforms.detected(str(tmp_path / "cpuinfo"))) == shown
    offered = platforms.parse("linux/amd64/v2")
    assert platforms.rank(platforms.parse("linux/amd64/v3"), offered) == 1
    assert platforms.rank(platforms.host(), offered) is None
