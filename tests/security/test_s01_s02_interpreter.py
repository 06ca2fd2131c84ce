"""S01: no writable host file is within a container's reach. S02: nothing of the image is loaded by the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.model.container import HostConfig
from sampan.ocirun import process
from sampan.ocirun.failure import ExecFailed
from sampan.ocirun.process import Identity
from tests.support.bundles import Bundle


def snapshot(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def interpreter() -> bytes:
    return snapshot(os.path.realpath(sys.executable))


@pytest.mark.parametrize("form", ["link", "script"])
def test_s01_the_interpreter_is_never_the_program(box: Bundle, interpreter: bytes, form: str) -> None:
    entry = box.rootfs / "entry"
    if form == "link":
        entry.symlink_to("/proc/self/exe")
    else:
        entry.write_text("#!/proc/self/exe\n")
        entry.chmod(0o755)
    # What a hostile image would do with the interpreter that it was given to run: open it for writing.
    hostile = box.rootfs / "usr/lib/python3.11"
    hostile.mkdir(parents=True)
    (hostile / "encodings.py").write_text("open('/proc/self/exe', 'r+b').write(b'owned')\n")
    result = box.run(box.spec("/entry", host=HostConfig(privileged=True)))
    assert result.status != 0
    assert snapshot(os.path.realpath(sys.executable)) == interpreter


def test_s01_the_program_runs_from_no_writable_mount_of_the_host(box: Bundle) -> None:
    """An exec's process as a neighbour with CAP_SYS_PTRACE sees it, whom PR_SET_DUMPABLE does not keep out.

    With CAP_SYS_ADMIN as well (a privileged container) the host's disk is open anyway.
    """
    container_id = box.start(host=HostConfig(cap_add=["SYS_PTRACE"]))
    (box.rootfs / "watch").write_text(
        """
        i=0
        while [ $i -lt 400 ]; do
            for p in /proc/[0-9]*; do
                [ "$(cat $p/comm 2>/dev/null)" = sampan-init ] || continue
                echo seen >> /tmp/seen
                for f in $p/exe $p/map_files/* $p/fd/*; do
                    case "$(readlink $f 2>/dev/null)" in
                        *python*|*.so*|*.py|/) (: >> $f) 2>/dev/null && echo "$f" >> /tmp/written ;;
                    esac
                done
            done
            i=$((i+1))
        done
        """
    )
    watcher = subprocess.Popen([*box.command, "exec", container_id, "sh", "/watch"], stderr=subprocess.DEVNULL)
    for _ in range(5):
        assert box.call("exec", container_id, "true").status == 0
    box.call("kill", container_id, "KILL")
    watcher.wait(30)
    written = box.rootfs / "tmp/written"
    assert not written.exists(), written.read_text()


def test_s01_the_process_is_not_dumpable_before_execve(box: Bundle) -> None:
    container_id = box.create(box.spec("true"))
    # proc(5): the files of a process that is not dumpable belong to root, whatever its ids; and it may not be traced.
    pid = box.pid(container_id)
    probe = f"import ctypes, os, sys\nos.setgid(1000); os.setuid(1000)\nos.readlink('/proc/{pid}/exe')"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr
    assert os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY


def test_s01_an_interpreter_that_is_not_sealed_is_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 5.12 there is no read-only mount to run from: then the runtime's own file is refused."""
    monkeypatch.setattr(process, "_SEALED", False)
    with pytest.raises(ExecFailed, match="is the runtime itself"):
        process.Program({"args": ["/proc/self/exe"]}, -1, Identity({"user": {}}), b"", 0)


def test_s02_nothing_of_the_image_is_imported_or_loaded(box: Bundle) -> None:
    """Hostile Python modules, NSS libraries and a preload file lie where a careless runtime would look for them."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    canary = "import os; os.system('touch /owned'); open('/owned', 'w').close()\n"
    source = Path(__file__).parents[2] / "src"
    for place in (f"usr/lib/{version}", f"usr/lib/{version}/encodings", str(source).lstrip("/"), "usr/lib/python3"):
        (box.rootfs / place).mkdir(parents=True, exist_ok=True)
        for module in ("pwd", "grp", "socket", "traceback", "signal", "json", "sampan", "__init__", "idna", "errno"):
            (box.rootfs / place / f"{module}.py").write_text(canary)
    libraries = box.rootfs / "lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    for name in ("libnss_files.so.2", "libnss_compat.so.2", "libseccomp.so.2", "libc.so.6"):
        (libraries / name).write_bytes(b"\x7fELF hostile")
    (box.rootfs / "etc/ld.so.preload").write_text("/lib/x86_64-linux-gnu/libnss_files.so.2\n")
    # A look-up of a user would wait for ever in opening its library.
    (box.rootfs / "etc/nsswitch.conf").write_text("passwd: hostile files\n")
    os.mkfifo(libraries / "libnss_hostile.so.2")
    spec = box.spec("true")
    spec["process"]["user"] = {"uid": 4242, "gid": 4242}
    assert box.run(spec).status == 0
    # A failure takes other paths through the code than success.
    assert box.run(box.spec("/nosuch")).status == 1
    container_id = box.start()
    assert box.call("exec", "--user", "1000:1000", container_id, "true").status == 0
    assert box.call("exec", container_id, "/nosuch").status == 255
    assert not (box.rootfs / "owned").exists()
