"""Images by the stock client: import, tag, list, save, load, history, remove, commit; info, version, df."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

from ..support.daemon import Daemon
from ..support.images import busybox_rootfs


def _tar(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_import_tag_save_load_remove(daemon: Daemon, name: str, tmp_path: Path) -> None:
    made = daemon.ok("import", "-c", 'CMD ["a"]', "-c", "LABEL x=y", "-m", "why", "-", f"{name}:1", stdin=_tar(f=name))
    assert made.startswith("sha256:")
    daemon.ok("tag", f"{name}:1", f"{name}:2")
    rows = daemon.ok("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "--no-trunc", name).splitlines()
    assert sorted(rows) == [f"{name}:1 {made}", f"{name}:2 {made}"]
    assert daemon.ok("images", "-q", "--filter", "label=x=y", "--filter", f"reference={name}:1", "--no-trunc") == made
    found = json.loads(daemon.ok("image", "inspect", f"{name}:1"))[0]
    assert (found["Config"]["Cmd"], found["Comment"], found["RepoTags"]) == (["a"], "why", [f"{name}:1", f"{name}:2"])
    assert daemon.ok("history", "-q", "--no-trunc", name + ":1") == made
    archive = tmp_path / "image.tar"
    daemon.ok("save", "-o", str(archive), f"{name}:1")
    removed = daemon.ok("rmi", f"{name}:1", f"{name}:2").splitlines()
    assert removed[:3] == [f"Untagged: {name}:1", f"Untagged: {name}:2", f"Deleted: {made}"]
    assert f"No such image: {name}:1" in daemon.docker("rmi", f"{name}:1").err
    assert daemon.ok("load", "-i", str(archive)) == f"Loaded image: {name}:1"
    assert daemon.ok("load", "-q", stdin=archive.read_bytes()) == f"Loaded image: {name}:1"
    assert daemon.ok("images", "-q", "--no-trunc", name) == made
    daemon.ok("rmi", name + ":1")
    assert "must be lowercase" in daemon.docker("tag", "busybox", "BAD").err


def test_an_image_in_use_stays(daemon: Daemon, name: str) -> None:
    daemon.ok("import", "-c", 'CMD ["a"]', "-", name, stdin=_tar(g=name))
    container = daemon.ok("create", name)
    refused = daemon.docker("rmi", daemon.ok("images", "-q", name)).err
    assert f"is being used by stopped container {container[:12]}" in refused
    daemon.ok("rm", container)
    daemon.ok("rmi", name)


def test_commit(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "--name", name, "--network", "none", "busybox", "sh", "-c", "echo kept > /file")
    try:
        made = daemon.ok("commit", "-a", "me", "-m", "why", "-c", 'CMD ["cat", "/file"]', name, f"{name}:made")
        assert daemon.ok("run", "--rm", "--network", "none", made) == "kept"
        assert daemon.ok("history", "--format", "{{.Comment}}", f"{name}:made").splitlines()[0] == "why"
    finally:
        daemon.ok("rm", name)
        daemon.ok("rmi", f"{name}:made")


def test_info_version_and_usage(daemon: Daemon) -> None:
    info = json.loads(daemon.ok("info", "--format", "json"))
    assert info["Driver"] in ("overlay2", "vfs")
    assert info["DockerRootDir"] == str(daemon.data_root)
    assert info["Images"] >= 1
    version = json.loads(daemon.ok("version", "--format", "json"))["Server"]
    assert (version["ApiVersion"], version["MinAPIVersion"], version["Os"]) == ("1.51", "1.24", "linux")
    rows = [json.loads(line) for line in daemon.ok("system", "df", "--format", "json").splitlines()]
    assert [row["Type"] for row in rows] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert "busybox" in daemon.ok("system", "df", "-v")


def test_volumes_and_networks(daemon: Daemon, name: str) -> None:
    assert daemon.ok("volume", "create", "--label", "a=b", name) == name
    assert daemon.ok("volume", "ls", "-q", "--filter", f"name={name}") == name
    assert json.loads(daemon.ok("volume", "inspect", name))[0]["Labels"] == {"a": "b"}
    daemon.ok("network", "create", "--label", name, "--subnet", "10.77.0.0/24", name)
    container = daemon.ok("run", "-d", "--network", name, "-v", f"{name}:/v", "busybox", "sleep", "999")
    try:
        found = json.loads(daemon.ok("network", "inspect", name))[0]
        assert found["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24"}]
        assert list(found["Containers"]) == [container]
        assert f"remove {name}: volume is in use - [{container}]" in daemon.docker("volume", "rm", name).err
        assert "has active endpoints" in daemon.docker("network", "rm", name).err
        daemon.ok("network", "connect", "bridge", container)
        daemon.ok("network", "disconnect", "bridge", container)
        assert daemon.ok("network", "ls", "-q", "--filter", f"label={name}", "--no-trunc") == found["Id"]
    finally:
        daemon.ok("rm", "-f", container)
        daemon.ok("network", "rm", name)
        daemon.ok("volume", "rm", name)


def test_import_from_a_web_server(daemon: Daemon, name: str, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(busybox_rootfs())
    server = daemon.host.popen(
        sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "0",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        port = server.stdout.readline().split()[5].decode()
        daemon.ok("import", f"http://127.0.0.1:{port}/root.tar", name)
        assert daemon.ok("run", "--rm", "--network", "none", name, "/bin/busybox", "echo", "hi") == "hi"
        missing = daemon.docker("import", f"http://127.0.0.1:{port}/nosuch")
        assert missing.status == 1 and "File not found" in missing.err
        url = "http://d/images/create?fromSrc=file:///etc/passwd"
        answer = daemon.run("curl", "-s", "-X", "POST", "--unix-socket", daemon.socket, url).out
        assert "unsupported protocol scheme" in answer and "root:" not in answer
    finally:
        server.kill()
        server.communicate()
        daemon.ok("rmi", "-f", name)
