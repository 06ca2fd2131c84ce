"""An emulated machine with a kernel and control groups of our choice: `with Machine("v2") as machine: machine.run(…)`.

qemu without KVM (the machines that the tests run on have none that works). No network: commands and their results go
through a virtio serial port to `guest/agent.py`.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from . import vmcode, vmimage
from .hosts import Result

BOOT_SECONDS: Final = 180
MODES: Final = ("v1", "hybrid", "v2", "systemd")


class Machine:
    """A booted machine; `mode` says how control groups are mounted: v1, hybrid, v2, or v2 by systemd."""

    def __init__(self, mode: str, memory: int = 1024) -> None:
        assert mode in MODES
        self.mode = mode
        self._directory = Path(tempfile.mkdtemp(prefix="sampan-vm-"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._directory / "port"))
        listener.listen(1)
        with open(self._directory / "console", "wb") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._argv(memory)], stdin=subprocess.DEVNULL, stdout=console,
                stderr=console,
            )  # fmt: skip
        listener.settimeout(BOOT_SECONDS)
        self._port, _ = listener.accept()
        listener.close()
        self._pending = b""
        self._port.settimeout(BOOT_SECONDS)
        try:
            self._receive()
        except (TimeoutError, ConnectionError) as error:
            text = self.console
            self.close()
            raise AssertionError(f"the machine does not boot:\n{text[-4000:]}") from error

    def _argv(self, memory: int) -> list[str]:
        base = vmimage.base()
        # no_timer_check: beside busy neighbours the kernel takes an emulated timer that is late for a broken one.
        command = "console=ttyS0 quiet loglevel=4 panic=-1 random.trust_cpu=on no_timer_check"
        command += f" cgroups={self.mode}"
        if self.mode in ("v2", "systemd"):
            command += " cgroup_no_v1=all"
        argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(memory),
                "-nodefaults", "-no-user-config", "-no-reboot", "-nographic", "-serial", "stdio", "-monitor", "none",
                "-kernel", str(vmimage.vmlinuz()), "-initrd", str(base / "initrd"), "-append", command,
                "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=port,path={self._directory}/port",
                "-device", "virtserialport,chardev=port,name=agent"]  # fmt: skip
        for image in (base / "base.erofs", vmcode.code()):
            argv += ["-drive", f"file={image},format=raw,if=virtio,readonly=on"]
        return argv

    @property
    def console(self) -> str:
        """What the kernel and process 1 have printed."""
        return (self._directory / "console").read_text(errors="replace")

    def _receive(self) -> dict[str, object]:
        while b"\n" not in self._pending:
            data = self._port.recv(1 << 16)
            if not data:
                raise ConnectionError("the machine has ended")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        found: dict[str, object] = json.loads(line)
        return found

    def run(self, *argv: str, stdin: bytes = b"", timeout: float = 60) -> Result:
        """Run a command there to its end."""
        return self._ask({"argv": argv}, stdin, timeout)

    def request(self, socket_path: str, method: str, path: str, body: bytes, kind: str, timeout: float = 120) -> Result:
        """An HTTP request to a unix socket there: `status`, and the body in `out`."""
        return self._ask({"socket": socket_path, "method": method, "path": path, "type": kind}, body, timeout)

    def _ask(self, request: dict[str, object], stdin: bytes, timeout: float) -> Result:
        whole = {**request, "stdin": base64.b64encode(stdin).decode(), "timeout": timeout}
        self._port.settimeout(timeout + 60)
        self._port.sendall(json.dumps(whole).encode() + b"\n")
        answer = self._receive()
        out, err = (base64.b64decode(str(answer[key])).decode(errors="replace") for key in ("out", "err"))
        return Result(int(str(answer["status"])), out, err)

    def ok(self, *argv: str, stdin: bytes = b"", timeout: float = 60) -> str:
        """A command that must succeed; its output without the last newline."""
        result = self.run(*argv, stdin=stdin, timeout=timeout)
        assert result.status == 0, f"{argv}: {result}\n{self.console[-2000:]}"
        return result.out.rstrip("\n")

    def close(self) -> None:
        """Switch it off."""
        self._port.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lacks() -> str:
    """Why no machine can be emulated here; empty where one can."""
    missing = [name for name in ("qemu-system-x86_64", "mkfs.erofs") if shutil.which(name) is None]
    return f"needs {' '.join(missing)}" if missing else ""
