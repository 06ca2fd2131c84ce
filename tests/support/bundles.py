"""OCI bundles with busybox as Docker would configure them, run by a runtime's command line."""

from __future__ import annotations

import copy
import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampan.linux.cgroup import Cgroup
from sampan.model.container import ContainerConfig, HostConfig
from sampan.runtime import bundle, users

from .leaks import CGROUP_PARENT

SAMPAN_RUNC = (sys.executable, "-m", "sampan.ocirun")
BUSYBOX = "/bin/busybox"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PRIVATE = ("mount", "network", "uts", "pid", "ipc")
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


def make_rootfs(root: Path) -> None:
    """Busybox with all its applets, two users, two groups."""
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "home/ann"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "bin/busybox").write_bytes(Path(BUSYBOX).read_bytes())
    (root / "bin/busybox").chmod(0o755)
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nwheel:x:10:ann\nann:x:1000:\nstaff:x:50:ann,bob\n")


class Bundle:
    """A directory with config.json and rootfs, and a runtime with a state directory of its own."""

    def __init__(self, directory: Path, runtime: tuple[str, ...] = SAMPAN_RUNC) -> None:
        self.directory = directory
        self.rootfs = directory / "rootfs"
        self.state = directory / "state"
        self.command = [*runtime, "--root", str(self.state)]
        self.ids: list[str] = []
        make_rootfs(self.rootfs)

    def spec(self, *args: str, config: ContainerConfig | None = None, host: HostConfig | None = None,
             namespaces: dict[str, str | None] | None = None, **more: Any) -> dict[str, Any]:  # fmt: skip
        """The configuration that Sampan makes for a container of Docker's."""
        config = config or ContainerConfig()
        return bundle.build(
            bundle.Inputs(
                container_id="test",
                config=config,
                host_config=host or HostConfig(),
                args=list(args),
                env=[PATH],
                rootfs=str(self.rootfs),
                user=users.resolve(str(self.rootfs), config.user),
                hostname="box",
                namespaces=dict.fromkeys(PRIVATE) if namespaces is None else namespaces,
                cgroup=self.cgroup_path(),
                **more,
            )
        )

    def cgroup_path(self) -> str:
        """A control group that no other test uses."""
        return f"{CGROUP_PARENT}/oci-{os.getpid()}-{next(_NUMBERS)}"

    def write(self, spec: dict[str, Any]) -> None:
        (self.directory / "config.json").write_text(json.dumps(spec))

    def new_id(self) -> str:
        container_id = f"c{os.getpid()}-{next(_NUMBERS)}"
        self.ids.append(container_id)
        return container_id

    def call(self, *words: str, stdin: str | None = None, timeout: float = 30, **options: Any) -> Result:
        """Run one command of the runtime."""
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, timeout=timeout, check=False,
            **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}), **options,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr.replace('\\"', '"'))  # logfmt quotes

    def run(self, spec: dict[str, Any], *words: str, stdin: str | None = None) -> Result:
        """`run` in the foreground."""
        self.write(spec)
        return self.call("run", "--bundle", str(self.directory), *words, self.new_id(), stdin=stdin)

    def shell(self, script: str, **options: Any) -> Result:
        """Run a shell script with the options of `spec`."""
        return self.run(self.spec("sh", "-c", script, **options))

    def out(self, script: str, **options: Any) -> str:
        """As `shell`; what it printed, for scripts that must succeed."""
        result = self.shell(script, **options)
        assert result.status == 0, result
        return result.out.strip()

    def create(self, spec: dict[str, Any], *words: str) -> str:
        """`create`, with output thrown away; the id."""
        self.write(spec)
        container_id = self.new_id()
        # To a file: the container keeps what it is given, and a pipe would never end.
        with open(self.directory / "stderr", "w+b") as stderr:
            done = subprocess.run(
                [*self.command, "create", "--bundle", str(self.directory), *words, container_id],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, check=False, timeout=30,
            )  # fmt: skip
            stderr.seek(0)
            assert done.returncode == 0, stderr.read().decode()
        return container_id

    def start(self, *args: str, **options: Any) -> str:
        """A running container; its id."""
        container_id = self.create(self.spec(*(args or ("sleep", "600")), **options))
        result = self.call("start", container_id)
        assert result.status == 0, result
        return container_id

    def pid(self, container_id: str) -> int:
        return int(json.loads(self.call("state", container_id).out)["pid"])

    def close(self) -> None:
        for container_id in filter(lambda each: (self.state / each).exists(), self.ids):
            self.call("delete", "--force", container_id)
        for path in (CGROUP_PARENT,):
            group = Cgroup(path)
            for directory in set(group.directories.values()):
                for entry in Path(directory).glob(f"oci-{os.getpid()}-*"):
                    entry.rmdir()


def changed(spec: dict[str, Any], **linux: Any) -> dict[str, Any]:
    """A copy with other `linux` keys."""
    result = copy.deepcopy(spec)
    result["linux"].update(linux)
    return result
