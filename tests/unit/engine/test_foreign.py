"""What `create` says about images of another machine's kind."""

from __future__ import annotations

from pathlib import Path

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
        f"({platforms.host()}) and no specific platform was requested"
    )
    assert "no binfmt_misc handler" in unable
    assert warnings(FOREIGN, asked=True, handlers=str(tmp_path)) == [unable]
    handler = tmp_path / f"qemu-{FOREIGN.architecture}"
    handler.write_text("enabled\ninterpreter /usr/bin/qemu\n")
    assert warnings(FOREIGN, asked=True, handlers=str(tmp_path)) == []
    handler.write_text("disabled\n")
    assert warnings(FOREIGN, asked=True, handlers=str(tmp_path)) == [unable]
