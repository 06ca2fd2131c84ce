"""RUN for another platform, by an interpreter that binfmt_misc has (Documentation/admin-guide/binfmt-misc.rst).

Only on a machine of the test's own: handlers are the whole machine's (test_another_kernel.py runs this there).
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import sampan
from sampan import Engine
from sampan.build.progress import BuildEvent, StepLog
from sampan.dockerfile.errors import DockerfileError
from sampan.engine import images

BINFMT = Path("/proc/sys/fs/binfmt_misc")
OWN_MACHINE = Path("/opt/guest/agent.py").exists()
_TELLS_ITS_FIRST_ARGUMENT = bytes.fromhex("b801000000 bf01000000 488b742410 ba08000000 0f05 b83c000000 31ff 0f05")
"""write(1, argv[1], 8); exit(0)"""


def _elf(machine: int, code: bytes) -> bytes:
    """An executable of one segment (elf(5)): 62 is EM_X86_64, 183 EM_AARCH64."""
    size, start = 64 + 56 + len(code), 0x400000
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 4096) + code


@pytest.fixture
def interpreter(tmp_path: Path) -> Iterator[None]:
    """In place of QEMU: it tells which program it was to interpret. Opened at once (F), as in a container's tree."""
    program = tmp_path / "interpreter"
    program.write_bytes(_elf(62, _TELLS_ITS_FIRST_ARGUMENT))
    program.chmod(0o755)
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=True)
    magic = r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00\xb7\x00"
    (BINFMT / "register").write_text(f":qemu-aarch64:M::{magic}::{program}:F\n")
    yield
    (BINFMT / "qemu-aarch64").write_text("-1")


@pytest.mark.skipif(not OWN_MACHINE, reason="binfmt_misc is the whole machine's")
async def test_a_program_of_another_platform(engine: Engine, interpreter: None, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(_elf(183, b"\0\0\0\0"))
    (tmp_path / "foreign").chmod(0o755)
    said: list[str] = []

    def heard(event: BuildEvent) -> None:
        if isinstance(event, StepLog):
            said.append(event.text)

    text = 'FROM scratch\nCOPY foreign /foreign\nRUN ["/foreign"]\n'
    image = await sampan.build(engine, text, context=str(tmp_path), platform="linux/arm64", on_progress=heard)
    assert "".join(said) == "/foreign" and image.config.architecture == "arm64"
    images.remove(engine, image.id)
    (BINFMT / "qemu-aarch64").write_text("0")
    with pytest.raises(DockerfileError, match="cannot run programs of linux/arm64 on linux/amd64"):
        await sampan.build(engine, text, context=str(tmp_path), platform="linux/arm64")
