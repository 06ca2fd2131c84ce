"""What becomes of a build's result: outputs, pushes, several platforms, squashed layers, files about the image."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from ...support.daemon import Daemon, Result
from .contexts import write_context

SCRATCH = (
    "FROM scratch\nARG TARGETPLATFORM\nARG TARGETARCH\nARG BUILDPLATFORM\nLABEL p=$TARGETPLATFORM b=$BUILDPLATFORM\n"
)
BOTH = "linux/amd64,linux/arm64"


def _built(daemon: Daemon, *words: str) -> Result:
    done = daemon.sampan("build", *words)
    assert done.status == 0, f"{done}\n{daemon.log[-3000:]}"
    return done


def _layout(path: Path) -> dict[str, Any]:
    """The first entry of an OCI layout's index, with the document that it points at."""
    with tarfile.open(path) as tar:
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type] # it is a file
        entry: dict[str, Any] = index["manifests"][0]
        name = "blobs/" + entry["digest"].replace(":", "/")
        return {**entry, "document": json.load(tar.extractfile(name))}  # type: ignore[arg-type] # it is a file


def _all_images(daemon: Daemon) -> set[str]:
    return set(daemon.ok("images", "-aq", "--no-trunc").split())


def test_a_result_that_goes_elsewhere_leaves_no_image(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(tmp_path / "c", f"FROM scratch\nLABEL l={name}\nCOPY f /d/\n", f="hello")
    before = _all_images(daemon)
    _built(
        daemon, "-t", name, "-o", str(tmp_path / "tree"), "-o", f"type=tar,dest={tmp_path}/t.tar", "-o",
        f"type=oci,dest={tmp_path}/o.tar", "-o", f"type=docker,dest={tmp_path}/d.tar", "-o",
        f"type=oci,tar=false,dest={tmp_path}/layout", where,
    )  # fmt: skip
    assert _built(daemon, "-q", "-t", name, "-o", "type=cacheonly", where).out == ""
    assert _built(daemon, "-q", "-o", "type=local,dest=" + str(tmp_path / "again"), where).out == ""
    assert _all_images(daemon) == before
    assert (tmp_path / "tree/d/f").read_text() == "hello"
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert "d/f" in [member.name.removeprefix("./") for member in tar]
    entry = _layout(tmp_path / "o.tar")
    assert entry["annotations"]["io.containerd.image.name"] == f"docker.io/library/{name}:latest"
    assert (tmp_path / "layout" / "blobs" / entry["digest"].replace(":", "/")).exists()
    daemon.ok("load", "-i", str(tmp_path / "d.tar"))
    assert daemon.ok("inspect", "-f", '{{index .Config.Labels "l"}}', name) == name
    daemon.ok("rmi", name)
    assert _all_images(daemon) == before


def test_files_about_the_image(daemon: Daemon, registry: str, name: str, tmp_path: Path) -> None:
    """As buildx writes them: docs/build.md lists what it says beyond that."""
    where = write_context(tmp_path / "c", "FROM scratch\nCOPY f /\n", f=name)
    iid, meta = tmp_path / "id", tmp_path / "meta"
    about = ("--iidfile", str(iid), "--metadata-file", str(meta))
    done = _built(daemon, "-q", *about, "-t", name, "-t", f"{name}:2", where)
    image = daemon.ok("inspect", "-f", "{{.Id}}", name)
    assert iid.read_text() == image == done.out.strip()
    written = json.loads(meta.read_text())
    assert written.pop("buildx.build.provenance")["invocation"]["environment"] == {"platform": "linux/amd64"}
    assert written == {
        "containerimage.config.digest": image, "containerimage.digest": image,
        "image.name": f"docker.io/library/{name},docker.io/library/{name}:2",
    }  # fmt: skip
    _built(daemon, *about, "-o", f"type=oci,dest={tmp_path}/o.tar,name={name}:3", where)
    entry = _layout(tmp_path / "o.tar")
    written = json.loads(meta.read_text())
    assert iid.read_text() == written["containerimage.config.digest"] == image
    assert written["containerimage.digest"] == entry["digest"]
    assert written["containerimage.descriptor"] == {
        "mediaType": entry["mediaType"], "digest": entry["digest"], "size": entry["size"],
        "platform": {"architecture": "amd64", "os": "linux"},
    }  # fmt: skip
    pushed = f"{registry}/{name}:p"
    _built(daemon, *about, "--push", "-t", pushed, where)
    assert f"@{json.loads(meta.read_text())['containerimage.digest']}" in daemon.ok(
        "inspect", "-f", "{{.RepoDigests}}", pushed
    )
    daemon.ok("rmi", name, f"{name}:2", pushed)
    for words, said in (
        (("--iidfile", str(iid), "-o", "x"), "local and tar exporters are incompatible with image ID file"),
        (("--push",), "tag is needed when pushing to registry"),
        (("--push", "-o", "type=cacheonly", "-t", name), 'push and "cacheonly" output can\'t be used together'),
        (("-o", "type=oci,compress=zstd"), "compress=zstd cannot be done here"),
    ):  # fmt: skip
        refused = daemon.sampan("build", *words, where)
        assert refused.status == 1 and said in refused.err, refused


def test_several_platforms_are_one_index(daemon: Daemon, registry: str, name: str, tmp_path: Path) -> None:
    where = write_context(tmp_path / "c", SCRATCH + "COPY f-$TARGETARCH /f\n", **{"f-amd64": "intel", "f-arm64": "arm"})
    meta, tag = tmp_path / "meta", f"{registry}/{name}:both"
    done = _built(
        daemon, "--platform", BOTH, "-t", tag, "--push", "--metadata-file", str(meta), "--iidfile", str(tmp_path / "i"),
        "--progress", "plain", where,
    )  # fmt: skip
    assert "[linux/arm64 1/1] COPY f-arm64 /f" in done.err and "[linux/amd64 1/1] COPY f-amd64 /f" in done.err, done
    written = json.loads(meta.read_text())
    index = written["containerimage.digest"]
    assert (tmp_path / "i").read_text() == index == written["containerimage.descriptor"]["digest"]
    assert "containerimage.config.digest" not in written
    for platform in BOTH.split(","):
        label = daemon.ok("image", "inspect", "--platform", platform, "-f", "{{.Config.Labels}}", tag)
        assert label == f"map[b:linux/amd64 p:{platform}]"
    raw = daemon.run(*daemon.host.command("curl", "-s", f"http://{registry}/v2/{name}/manifests/both", "-H",
                                          "Accept: application/vnd.oci.image.index.v1+json")).out  # fmt: skip
    remote = json.loads(raw)
    assert [entry["platform"]["architecture"] for entry in remote["manifests"]] == ["amd64", "arm64"]
    daemon.ok("rmi", tag)
    based = write_context(tmp_path / "based", f"FROM {tag}\nLABEL x=y\n")
    done = _built(daemon, "--platform", BOTH, "--progress", "plain", "-t", name, based)
    assert f"[internal] pull {tag}" in done.err and " Pull complete" in done.err, done
    label = daemon.ok("image", "inspect", "--platform", "linux/arm64", "-f", "{{.Config.Labels}}", name)
    assert label == "map[b:linux/amd64 p:linux/arm64 x:y]"
    again = _built(daemon, "--platform", BOTH, "--progress", "plain", based)
    assert "pull" not in again.err, "both platforms are here"
    daemon.ok("rmi", name, tag)
    assert not [one for one in _all_images(daemon) if name in daemon.ok("inspect", "-f", "{{.RepoTags}}", one)]

    _built(
        daemon, "--platform", BOTH, "-o", str(tmp_path / "tree"), "-o", f"type=tar,dest={tmp_path}/t.tar",
        "-o", f"type=oci,dest={tmp_path}/o.tar", where,
    )  # fmt: skip
    assert (tmp_path / "tree/linux_amd64/f").read_text() == "intel"
    assert (tmp_path / "tree/linux_arm64/f").read_text() == "arm"
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert {"linux_amd64/f", "linux_arm64/f"} <= set(tar.getnames())
    entry = _layout(tmp_path / "o.tar")
    assert entry["digest"] == index and len(entry["document"]["manifests"]) == 2
    refused = daemon.sampan("build", "--platform", BOTH, "-o", f"type=docker,dest={tmp_path}/d.tar", where)
    assert "docker exporter does not support exporting manifest lists" in refused.err, refused


def test_stages_of_the_build_platform_run_once_for_all(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """The usual cross-compiling file: the compiler's stage is of this machine, the last stage of each target's."""
    where = write_context(
        tmp_path, "FROM --platform=$BUILDPLATFORM busybox AS tools\nRUN echo tools > /tools\nFROM tools AS compile\n"
        "ARG TARGETARCH\nRUN echo for-$TARGETARCH > /out\nFROM scratch\nCOPY --from=compile /out /out\n",
    )  # fmt: skip
    done = daemon.sampan("build", "--progress", "rawjson", "--platform", f"{BOTH},linux/riscv64", "-t", name, where)
    assert done.status == 0, done
    started = [event for event in map(json.loads, done.out.splitlines()) if event["event"] == "StepStarted"]
    names = [event["name"] for event in started]
    assert names.count("RUN echo tools > /tools") == 1
    assert [names.count(f"RUN echo for-{one} > /out") for one in ("amd64", "arm64", "riscv64")] == [1, 1, 1]
    _built(daemon, "--platform", "linux/riscv64", "-o", str(tmp_path / "tree"), where)
    assert (tmp_path / "tree/out").read_text() == "for-riscv64\n"
    daemon.ok("rmi", name)
    write_context(tmp_path, 'FROM scratch\nRUN ["/x"]\n')
    foreign = daemon.sampan("build", "--platform", "linux/s390x", where)
    if not Path("/proc/sys/fs/binfmt_misc/qemu-s390x").exists():
        assert "cannot run programs of linux/s390x" in foreign.err, foreign


def _observed(daemon: Daemon, ref: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(daemon.ok("inspect", ref))[0]
    return shown


def test_squashed_layers(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(
        tmp_path, "FROM busybox\nENV A=b\nRUN echo big > /big && mkdir -p /d/e && echo 1 > /d/e/f\n"
        "RUN rm /big && rm -r /d/e && rm /etc/passwd\nRUN mkdir /d/e && echo 2 > /d/e/g && ln /d/e/g /d/h\n",
    )  # fmt: skip
    base = _observed(daemon, "busybox")
    _built(daemon, "-t", f"{name}:whole", where)
    for words in (["sampan", "build"], ["docker", "build"]):
        if words[0] == "docker":
            query = f"http://d/build?squash=1&t={name}:one"
            subprocess.run(["tar", "-C", where, "-cf", str(tmp_path / "c.tar"), "Dockerfile"], check=True)
            done = daemon.run("curl", "-sN", "--unix-socket", daemon.socket, "-X", "POST", "--data-binary",
                              f"@{tmp_path}/c.tar", "-H", "Content-Type: application/x-tar", query)  # fmt: skip
            assert "Successfully tagged" in done.out, done
        else:
            _built(daemon, "--squash", "-t", f"{name}:one", where)
        one = _observed(daemon, f"{name}:one")
        assert len(one["RootFS"]["Layers"]) == len(base["RootFS"]["Layers"]) + 1
        assert one["RootFS"]["Layers"][:-1] == base["RootFS"]["Layers"]
        assert one["Config"]["Env"] == _observed(daemon, f"{name}:whole")["Config"]["Env"]
        history = daemon.ok("history", "--no-trunc", "--format", "{{.Size}} {{.Comment}}", f"{name}:one").splitlines()
        assert f"to {base['Id']}" in history[0], history
        assert [line.split()[0] for line in history[1:5]] == ["0B"] * 4, history
        listing = "cat /d/e/g /d/h; ls /d /d/e; ls /big /etc/passwd 2>&1; true"
        whole = daemon.ok("run", "--rm", f"{name}:whole", "sh", "-c", listing)
        assert daemon.ok("run", "--rm", f"{name}:one", "sh", "-c", listing) == whole
        saved = subprocess.run(["docker", "-H", daemon.url, "save", f"{name}:one"], capture_output=True, check=True)
        (tmp_path / "s.tar").write_bytes(saved.stdout)
        with tarfile.open(tmp_path / "s.tar") as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type] # it is a file
            with tarfile.open(fileobj=tar.extractfile(manifest["Layers"][-1])) as layer:
                names = set(layer.getnames())
        assert "big" not in names and ".wh.big" not in names and "etc/.wh.passwd" in names, names
        daemon.ok("rmi", f"{name}:one")
    daemon.ok("rmi", f"{name}:whole")


def test_copies_that_keep_parents(daemon: Daemon, tmp_path: Path) -> None:
    """As the Dockerfile reference has it; the front end of the recorded peer does not know `--parents` yet."""
    context = tmp_path / "c"
    for path in ("x/a.txt", "y/a.txt", "y/b.md", "deep/er/c.txt", "deep/d.txt"):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).write_text(path)
    (context / "y/b.md").chmod(0o600)
    (context / "link").symlink_to("deep/er")
    write_context(
        context, "FROM scratch\nCOPY --parents x/a.txt ./y/a.txt /1/\nCOPY --parents deep/./er/*.txt x/./ y/b.md /2/\n"
        "COPY --parents **/*.txt /3/\nCOPY --parents --exclude=*.md y link/c.txt /4/\n"
        "COPY --parents deep/./**/c.txt /5/\n",
    )  # fmt: skip
    _built(daemon, "-o", str(tmp_path / "o"), str(context))
    found = sorted(str(path.relative_to(tmp_path / "o")) for path in (tmp_path / "o").rglob("*") if path.is_file())
    assert found == [
        "1/x/a.txt", "1/y/a.txt", "2/a.txt", "2/er/c.txt", "2/y/b.md", "3/deep/d.txt", "3/deep/er/c.txt", "3/x/a.txt",
        "3/y/a.txt", "4/link/c.txt", "4/y/a.txt", "5/er/c.txt",
    ]  # fmt: skip
    assert (tmp_path / "o/2/y/b.md").stat().st_mode & 0o777 == 0o600
    before = _built(daemon, "-q", str(context)).out
    (context / "deep/new.txt").write_text("new")
    assert _built(daemon, "-q", str(context)).out != before, "what `**` finds counts for the key"
