"""userns-remap: containers whose root is a subordinate id of the host's."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.daemon import Daemon

FIRST, SIZE = 300000, 65536
_HOLD = 'mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid && echo ready && exec sleep infinity'


class Remapped(Daemon):
    """In a mount namespace that has an /etc/subuid and /etc/subgid of its own."""

    def __init__(self, driver: str) -> None:
        super().__init__("--userns-remap", "nobody:nogroup", "--storage-driver", driver)
        ranges = self.directory / "ranges"
        ranges.write_text(f"nobody:{FIRST}:{SIZE}\n")
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _HOLD, "hold", str(ranges)],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout is not None and self._holder.stdout.readline() == b"ready\n"

    def argv(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *super().argv()]

    def output(self, *args: str) -> bytes:
        return subprocess.run(["docker", *args], env=self.environment(), stdout=subprocess.PIPE, check=True).stdout

    def close(self) -> None:
        super().close()
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


@pytest.fixture(scope="module", params=["overlay2", "vfs"])
def remapped(request: pytest.FixtureRequest) -> Iterator[Remapped]:
    daemon = Remapped(request.param)
    daemon.start()
    daemon.load_busybox()
    yield daemon
    daemon.close()


def test_root_inside_is_nobody_outside(remapped: Remapped) -> None:
    out = remapped.ok(
        "run", "--rm", "busybox", "sh", "-c",
        "cat /proc/self/uid_map; stat -c %u:%g / /bin/busybox /etc/hosts; touch /new && stat -c %u:%g /new;"
        "echo hi > /dev/stdout; cat /sys/kernel/uevent_seqnum >/dev/null && id -u",
    )  # fmt: skip
    uid_map, *rest = out.splitlines()
    assert uid_map.split() == ["0", str(FIRST), str(SIZE)]
    assert rest == ["0:0", "0:0", "0:0", "0:0", "hi", "0"]


def test_info_and_data_root(remapped: Remapped) -> None:
    assert "name=userns" in remapped.ok("info", "-f", "{{.SecurityOptions}}")
    assert remapped.ok("info", "-f", "{{.DockerRootDir}}") == f"{remapped.data_root}/{FIRST}.{FIRST}"


def test_process_exec_and_user(remapped: Remapped, name: str) -> None:
    remapped.ok("run", "-d", "--name", name, "-u", "7:8", "busybox", "sleep", "600")
    pid = remapped.ok("inspect", "-f", "{{.State.Pid}}", name)
    assert os.stat(f"/proc/{pid}").st_uid == FIRST + 7
    assert remapped.ok("exec", name, "id", "-u") == "7"
    assert remapped.ok("exec", "-u", "0", name, "sh", "-c", "echo x > /made; stat -c %u /made") == "0"
    remapped.ok("rm", "-f", name)


def test_files_in_and_out(remapped: Remapped, name: str, tmp_path: Path) -> None:
    remapped.ok("run", "-d", "--name", name, "busybox", "sh", "-c", "mkdir /d; chown 5:6 /d; sleep 600")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("given")
        member.uid, member.gid, member.size = 11, 12, 3
        tar.addfile(member, io.BytesIO(b"abc"))
    remapped.ok("cp", "-a", "-", f"{name}:/d", stdin=buffer.getvalue())
    assert remapped.ok("exec", name, "stat", "-c", "%u:%g %s", "/d/given") == "11:12 3"
    out = remapped.output("cp", "-a", f"{name}:/d", "-")
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert {(one.name.strip("/"), one.uid, one.gid) for one in tar} == {("d", 5, 6), ("d/given", 11, 12)}
    assert "A /d/given" in remapped.ok("diff", name)
    image = f"kept-{name}"
    remapped.ok("commit", name, image)
    assert remapped.ok("run", "--rm", image, "stat", "-c", "%u:%g", "/d/given") == "11:12"
    assert remapped.ok("run", "--rm", "--userns", "host", image, "stat", "-c", "%u:%g", "/d/given") == "11:12"
    exported = remapped.output("export", name)
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        assert tar.getmember("d/given").uid == 11
    remapped.ok("rm", "-f", name)
    remapped.ok("rmi", image)


def test_volumes_belong_to_root_inside(remapped: Remapped, name: str) -> None:
    script = "stat -c %u /v; echo x > /v/f; stat -c %u /v/f; stat -c %u /etc-copy/passwd"
    out = remapped.ok("run", "--rm", "-v", f"{name}:/v", "-v", f"{name}-etc:/etc-copy", "-v", f"{name}-b:/bin",
                      "busybox", "sh", "-c", f"touch /etc-copy/passwd; {script}")  # fmt: skip
    assert out.split() == ["0", "0", "0"]
    where = remapped.ok("volume", "inspect", "-f", "{{.Mountpoint}}", name)
    assert os.stat(f"{where}/f").st_uid == FIRST
    remapped.ok("volume", "rm", name, f"{name}-etc", f"{name}-b")


def test_binds_with_their_owners_mapped(remapped: Remapped, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "given").touch()
    os.chown(tmp_path / "given", 7, 8)
    script = "stat -c %u:%g /x/given; touch /x/made 2>/dev/null; stat -c %u:%g /x/made"
    plain = remapped.docker("run", "--rm", "-v", f"{tmp_path}:/x", "busybox", "sh", "-c", script)
    assert plain.out == "65534:65534\n" and plain.status == 1
    mapped = remapped.ok("run", "--rm", "-v", f"{tmp_path}:/x:idmap", "busybox", "sh", "-c", script)
    assert mapped.split() == ["7:8", "0:0"] and (tmp_path / "made").stat().st_uid == 0
    option = "idmap=uids=0-5-1#7-0-1"
    own = remapped.ok(
        "run", "--rm", "-v", f"{tmp_path}:/x:{option}", "busybox", "stat", "-c", "%u", "/x/given", "/x/made"
    )
    assert own.split() == ["0", "5"]
    refused = remapped.docker("create", "-v", f"{tmp_path}:/x:idmap=uids=0-70000-1", "busybox")
    assert "the container has no ids 70000 to 70000" in refused.err


def test_namespaces_of_another_container(remapped: Remapped, name: str) -> None:
    remapped.ok("run", "-d", "--name", name, "--ipc", "shareable", "busybox", "sleep", "600")
    for flag in ("--pid", "--network", "--ipc"):
        own = remapped.ok("exec", name, "readlink", "/proc/self/ns/user")
        assert remapped.ok("run", "--rm", flag, f"container:{name}", "busybox", "readlink", "/proc/self/ns/user") == own
    remapped.ok("rm", "-f", name)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--privileged"], "privileged mode is incompatible with user namespaces."),
        (["--network", "host"], "cannot share the host's network namespace when user namespaces are enabled"),
        (["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_a_user_namespace_cannot_share(remapped: Remapped, flags: list[str], text: str) -> None:
    refused = remapped.docker("run", "--rm", *flags, "busybox", "true")
    assert refused.status == 125 and text in refused.err
    assert remapped.docker("run", "--rm", "--userns", "host", *flags, "busybox", "true").status == 0


def test_build(remapped: Remapped, name: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY --chown=3:4 given /given\nWORKDIR /w/x\n"
        "RUN --mount=type=cache,target=/c --mount=type=bind,source=given,target=/b"
        " grep -q 300000 /proc/self/uid_map && touch /c/y made && stat -c %u /c/y /b > /out && chown 9 made\n"
    )
    (tmp_path / "given").write_text("x")
    remapped.ok("build", "-t", name, str(tmp_path), timeout=120)
    out = remapped.ok("run", "--rm", name, "sh", "-c", "stat -c %u:%g /given /w /w/x/made; cat /out")
    assert out.split() == ["3:4", "0:0", "9:0", "0", "0"]
    remapped.ok("rmi", name)


def test_after_a_restart_of_the_daemon(remapped: Remapped, name: str) -> None:
    remapped.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    remapped.kill()
    remapped.start()
    assert remapped.ok("exec", name, "sh", "-c", "echo x > /y && stat -c %u /y") == "0"
    remapped.ok("restart", "-t", "0", name)
    assert remapped.ok("exec", name, "stat", "-c", "%u", "/y") == "0"
    remapped.ok("rm", "-f", name)


def test_secrets(remapped: Remapped, name: str) -> None:
    assert remapped.sampan("secret", "create", name, "-", stdin=b"hidden").status == 0
    read = remapped.sampan("run", "--rm", "--secret", f"{name}:word:0400", "busybox", "sh", "-c",
                           "cat /run/secrets/word; stat -c %u /run/secrets/word")  # fmt: skip
    assert read.out == "hidden0\n", read
    assert remapped.sampan("secret", "rm", name).status == 0
