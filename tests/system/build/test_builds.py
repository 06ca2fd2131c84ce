"""What a build does beside the image it makes: caching, explaining, outputs, contexts, cancelling, surviving."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from ...support.daemon import BIN, Daemon
from ...support.waiting import until
from .contexts import write_context


def _events(daemon: Daemon, *words: str) -> list[dict[str, object]]:
    done = daemon.sampan("build", "--progress", "rawjson", *words)
    assert done.status == 0, done
    return [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]


def test_explains_hits_and_misses(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(tmp_path, f"FROM busybox\nARG A=1\nRUN echo {name} $A\nCOPY f g /c/\n", f="1", g="2")
    assert daemon.sampan("build", where).status == 0
    (tmp_path / "f").touch()
    hits = [event for event in _events(daemon, "--explain", where) if event["event"] == "Explained"]
    assert [event["hit"] for event in hits] == [True, True], "a touched file counts by its content"
    (tmp_path / "f").write_text("other")
    (tmp_path / "g").unlink()
    (tmp_path / "g").write_text("2")
    missed = [event for event in _events(daemon, "--explain", where) if event["event"] == "Explained"]
    assert [event["hit"] for event in missed] == [True, False]
    assert missed[1]["reasons"] == ["file changed: f"]
    shown = daemon.sampan("build", "--explain", "--progress", "plain", "--build-arg", "A=2", where)
    assert "not cached: variable changed: A" in shown.err, shown
    shown = daemon.sampan("build", "--no-cache", "--explain", "--progress", "plain", where)
    assert "not cached: the cache is switched off for this step" in shown.err


def test_what_a_step_sees_counts(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """Hosts, ulimits and the size of /dev/shm are part of a RUN's key, as in BuildKit; of a COPY's they are not."""
    where = write_context(tmp_path, f"FROM busybox\nCOPY f /\nRUN echo {name}; cat /etc/hosts; ulimit -n\n", f="f")
    assert daemon.sampan("build", where).status == 0
    for flags in (("--add-host", "foo:1.2.3.4"), ("--ulimit", "nofile=100:200"), ("--shm-size", "1m")):
        for hits in (1, 2):
            hit = [
                event["hit"] for event in _events(daemon, "--explain", *flags, where) if event["event"] == "Explained"
            ]
            assert hit == [True, hits == 2], flags
    shown = daemon.sampan("build", "--explain", "--progress", "plain", "--add-host", "foo:1.2.3.5", where)
    assert "1.2.3.5\tfoo" in shown.err and "not cached: hosts, ulimits" in shown.err, shown


def test_mistakes_in_flags_are_told_as_buildx_does(daemon: Daemon, tmp_path: Path) -> None:
    where = write_context(tmp_path, "FROM scratch\nLABEL a=b\n")
    failed, solving = "ERROR: failed to build: ", "ERROR: failed to build: failed to solve: "
    for words, said in (
        (("--add-host", "foo"), f"{failed}invalid host foo"), (("--allow", "foo"), f"{failed}unknown entitlement foo"),
        (("--label", "=x"), 'ERROR: invalid key-value pair "=x": empty key'),
        (("-t", "A:b"), f'{failed}invalid tag "A:b": repository name must be lowercase'),
        (("-t", ""), f'{failed}invalid tag "": repository name must have at least one component'),
        (("--target", "no"), f'{solving}target stage "no" could not be found'),
        (("--allow", "security.insecure"),
         f"{solving}granting entitlement security.insecure is not allowed by build daemon configuration"),
        (("--secret", "src=/etc/hosts"), f"{failed}secret missing ID"),
        (("--secret", "id=a,src=/no"), f"{failed}failed to stat /no: stat /no: no such file or directory"),
        (("--build-context", "foo=/nonesuch"),
         f"{failed}failed to get build context foo: stat /nonesuch: no such file or directory"),
        (("--iidfile", "/nonesuch/i"), "ERROR: writing image ID file: open /nonesuch/i: no such file or directory"),
        (("-f", "nope"), f"{solving}failed to read dockerfile: open nope: no such file or directory"),
        (("-o", "type=foo"), f'{solving}exporter "foo" could not be found'),
        (("-o", "type=local"), f"{failed}dest is required for local exporter"),
        (("--progress", "loud"), "ERROR: invalid progress mode loud"),
    ):  # fmt: skip
        done = daemon.sampan("build", *words, where)
        assert done.status == 1 and done.err.strip().splitlines()[-1] == said, (words, done)
    missing = daemon.sampan("build", "/nonesuch")
    assert missing.err.strip() == f'{failed}unable to prepare context: path "/nonesuch" not found'


def test_no_cache_filter_names_one_stage(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(
        tmp_path, f"FROM busybox AS one\nRUN echo {name} > /1\nFROM busybox AS two\nRUN echo {name} > /2\n"
        "FROM scratch\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n",
    )  # fmt: skip
    assert daemon.sampan("build", where).status == 0
    events = _events(daemon, "--no-cache-filter", "two", where)
    cached = {event["step"] for event in events if event["event"] == "StepDone" and event.get("cached")}
    names = {event["name"]: event["step"] in cached for event in events if event["event"] == "StepStarted"}
    assert names[f"RUN echo {name} > /1"] and not names[f"RUN echo {name} > /2"]


def test_check_and_mistakes_show_the_place(daemon: Daemon, tmp_path: Path) -> None:
    where = write_context(tmp_path, "FROM busybox AS Big\nMAINTAINER x\nCMD sleep 1\n")
    checked = daemon.sampan("build", "--check", where)
    assert checked.status == 1
    for rule in ("StageNameCasing", "MaintainerDeprecated", "JSONArgsRecommended"):
        assert rule in checked.err, checked
    write_context(tmp_path, "FROM busybox\n\nRUM echo\n")
    failed = daemon.sampan("build", where)
    assert failed.err.splitlines()[-6:] == [
        "   1 |     FROM busybox", "   2 |", "   3 | >>> RUM echo", "           ^", "-" * 20,
        "ERROR: failed to build: failed to solve: "
        "dockerfile parse error on line 3: unknown instruction: RUM (did you mean RUN?)",
    ]  # fmt: skip
    write_context(tmp_path, "FROM busybox\nRUN echo why; exit 7\n")
    failed = daemon.sampan("build", "--progress", "plain", where)
    assert failed.status == 7 and "why\n------" in failed.err and ">>> RUN echo why" in failed.err, failed
    classic = subprocess.run(
        ["docker", "build", where],
        env={**daemon.environment(), "DOCKER_BUILDKIT": "0"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert classic.returncode == 7
    assert "The command '/bin/sh -c echo why; exit 7' returned a non-zero code: 7" in classic.stderr


def test_a_dockerfile_from_outside_the_context(daemon: Daemon, tmp_path: Path, name: str) -> None:
    """The client puts it into the archive, which then ends right behind the last file."""
    where = write_context(tmp_path / "context", "FROM nosuch\n")
    (tmp_path / "Other").write_text("ARG BASE\nFROM busybox AS first\nLABEL a=b\nFROM $BASE AS second\nLABEL c=d\n")
    argv = ["docker", "build", "-q", "-t", name, "-f", str(tmp_path / "Other"), "--build-arg", "BASE=first", where]
    environment = {**daemon.environment(), "DOCKER_BUILDKIT": "0"}
    built = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert daemon.ok("inspect", "-f", "{{.Config.Labels}}", name) == "map[a:b c:d]"
    daemon.ok("rmi", name)


def test_same_digests_on_two_daemons(make_daemon: Callable[..., Daemon], daemon: Daemon, tmp_path: Path) -> None:
    """SOURCE_DATE_EPOCH: what is younger is dated back, everything else is deterministic anyway."""
    dockerfile = (
        "FROM busybox\nRUN mkdir /d && echo a > /d/a && ln /d/a /d/b && ln -s a /d/c\n"
        "COPY f /f\nWORKDIR /w\nRUN rm /f\n"
    )
    found = []
    for number, one in enumerate((daemon, make_daemon(busybox=False))):
        if number:  # the base image is the same: an import has the time of its making
            base = subprocess.run(["docker", "-H", daemon.url, "save", "busybox"], capture_output=True, check=True)
            one.ok("load", stdin=base.stdout)
        where = write_context(tmp_path / str(number), dockerfile, f="x")
        os.utime(tmp_path / str(number) / "f", (2_000_000_000 + number, 2_000_000_000 + number))
        built = one.sampan("build", "-q", "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1600000000", where)
        assert built.status == 0, built
        found.append(built.out.strip())
        assert "2020-09-13T12:26:40Z" in one.ok("inspect", "-f", "{{.Created}}", built.out.strip())
    assert found[0] == found[1]


def test_one_run_for_two_builds(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(tmp_path, f"FROM busybox\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /{name}\n")
    command = [str(BIN / "sampan"), "build", "-q", where]
    both = [daemon.popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    images = {process.communicate(timeout=60)[0].strip() for process in both}
    assert len(images) == 1


def _leftovers(daemon: Daemon) -> dict[str, list[str]]:
    return {
        "mounts": [line for line in Path(f"/proc/{daemon.pid}/mountinfo").read_text().splitlines()
                   if str(daemon.directory) in line],
        "steps": [path.name for path in (daemon.exec_root / "builds").glob("*")],
        "shims": [path.name for path in (daemon.exec_root / "shims").glob("*")],
        "links": [line for line in daemon.host.check("ip", "-o", "link").splitlines() if "veth" in line],
        "tmp": [path.name for path in (daemon.data_root / "tmp").glob("*")],
        "processes": [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()
                      and str(daemon.exec_root / "builds") in _command_line(entry)],
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"*{daemon.cgroup_parent}/*")
                   if len(path.name) == 64],
    }  # fmt: skip


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""  # it has ended


NOTHING: dict[str, list[str]] = {
    "mounts": [], "steps": [], "shims": [], "links": [], "tmp": [], "processes": [], "groups": [],
}  # fmt: skip


def _begin(daemon: Daemon, where: str, *flags: str) -> subprocess.Popen[str]:
    """A build whose last step has said that it runs."""
    client = daemon.popen(
        [str(BIN / "sampan"), "build", "--progress", "plain", "--secret", f"id=s,src={where}/s", *flags, where],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stderr is not None
    for line in client.stderr:
        if line.endswith(" running\n"):
            return client
    raise AssertionError("the step never ran")


def _long(name: str) -> str:
    return (
        f"FROM busybox\nRUN echo {name} > /first\nCOPY s /c/\n"
        "RUN --mount=type=secret,id=s --mount=type=cache,target=/k --mount=type=bind,target=/b,rw "
        "echo running; echo x > /b/y; sleep 1000\n"
    )


def _wait_until_nothing_is_left(daemon: Daemon) -> None:
    until(lambda: _leftovers(daemon) == NOTHING)


def test_cancel_ends_the_step_at_once(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """By a signal to the client, by a client that is killed, and by name; another build of the same step goes on."""
    daemon = make_daemon()
    where = write_context(tmp_path, _long("cancel"), s="secret")
    for end in (subprocess.Popen.terminate, subprocess.Popen.kill, _interrupt):
        client = _begin(daemon, where)
        end(client)
        assert client.wait(30) != 0
        client.communicate()
        _wait_until_nothing_is_left(daemon)
    subprocess.run(["tar", "-C", where, "-cf", str(tmp_path / "c.tar"), "Dockerfile", "s"], check=True)
    named = daemon.popen(
        ["curl", "-sN", "--unix-socket", daemon.socket, "-X", "POST", "--data-binary", f"@{tmp_path}/c.tar", "-H",
         "Content-Type: application/x-tar", "http://d/build?buildid=mine"], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert named.stdout is not None
    while "running" not in named.stdout.readline():
        pass
    other = _begin(daemon, where, "--secret", f"id=s,src={where}/s")
    cancel = ("curl", "-s", "--unix-socket", daemon.socket, "-X", "POST", "-o", "/dev/null", "-w", "%{http_code}")
    assert daemon.run(*cancel, "http://d/build/cancel").out == "400"
    assert daemon.run(*cancel, "http://d/build/cancel?id=another").out == "200"
    assert daemon.run(*cancel, "http://d/build/cancel?id=mine").out == "200"
    said, _ = named.communicate(timeout=30)
    assert "build mine was cancelled" in said.splitlines()[-1]
    assert other.poll() is None and _leftovers(daemon)["steps"]
    other.terminate()
    other.communicate(timeout=30)
    _wait_until_nothing_is_left(daemon)


def test_cancelling_a_large_copy_leaves_nothing(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """While files are written, and while the layer is: threads are not left alone with what is about to go."""
    daemon = make_daemon()
    where = write_context(tmp_path, "FROM busybox\nCOPY data /data\n")
    for number in range(2000):
        (tmp_path / "data" / str(number % 50)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / str(number % 50) / str(number)).write_bytes(os.urandom(1 << 14))
    stored = _stored(daemon)
    for has_begun in (lambda daemon: _leftovers(daemon)["mounts"], _is_being_stored):
        command = [str(BIN / "sampan"), "build", "--no-cache", "--progress", "plain", where]
        client = daemon.popen(command, stderr=subprocess.PIPE, text=True)
        assert client.stderr is not None
        assert any("COPY data /data" in line for line in client.stderr)
        while not has_begun(daemon):
            assert client.poll() is None
        client.kill()
        client.communicate(timeout=30)
        _wait_until_nothing_is_left(daemon)
        until(lambda: _stored(daemon) == stored)  # trees are removed in the background
    assert daemon.sampan("build", where).status == 0


def _stored(daemon: Daemon) -> set[Path]:
    """Blobs and snapshots that the daemon keeps."""
    return {
        *(daemon.data_root / "content/blobs/sha256").iterdir(),
        *(daemon.data_root / "snapshots/overlay2").iterdir(),
    }


def _is_being_stored(daemon: Daemon) -> bool:
    """Whether a layer of more than a MiB is on its way into the store."""
    return any(path.stat().st_size > 1 << 20 for path in (daemon.data_root / "tmp").iterdir() if path.is_file())


def _interrupt(client: subprocess.Popen[str]) -> None:
    client.send_signal(signal.SIGINT)


def test_killed_daemon_leaves_nothing_and_keeps_what_was_done(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    daemon = make_daemon()
    where = write_context(tmp_path, _long("killed"), s="secret")
    client = _begin(daemon, where)
    daemon.kill()
    client.communicate(timeout=30)
    daemon.start()
    assert _leftovers(daemon) == NOTHING
    (tmp_path / "Dockerfile").write_text(_long("killed").replace("sleep 1000", "true"))
    events = _events(daemon, "--secret", f"id=s,src={where}/s", where)
    names = {event["step"]: str(event["name"]) for event in events if event["event"] == "StepStarted"}
    cached = [names[str(event["step"])][:8] for event in events if event["event"] == "StepDone" and event.get("cached")]
    assert cached == ["RUN echo", "COPY s /"]


def test_bake_builds_the_targets_of_a_file(daemon: Daemon, name: str, tmp_path: Path) -> None:
    write_context(tmp_path / "web", "FROM busybox\nARG WORD=none\nCOPY --from=lib /lib-file /w\nRUN echo $WORD >> /w\n")
    (tmp_path / "docker-bake.json").write_text(
        json.dumps({
            "group": {"default": {"targets": ["web"]}},
            "target": {
                "base": {"args": {"WORD": "baked"}},
                "web": {"inherits": ["base"], "context": str(tmp_path / "web"), "tags": [name],
                        "contexts": {"lib": "target:lib"}},
                "lib": {"dockerfile-inline": f"FROM busybox\nRUN echo {name} > /lib-file\n", "context": str(tmp_path)},
                "other": {"context": "nowhere"},
            },
        })
    )  # fmt: skip
    file = str(tmp_path / "docker-bake.json")
    before = set(daemon.ok("images", "-aq").split())
    for words, said in (([], "baked"), (["--set", "web.args.WORD=other"], "other")):
        built = daemon.sampan("builder", "bake", "-f", file, "--metadata-file", str(tmp_path / "meta"), *words)
        assert built.status == 0, built
        about = json.loads((tmp_path / "meta").read_text())
        assert about["web"]["containerimage.digest"] == daemon.ok("inspect", "-f", "{{.Id}}", name)
        assert daemon.ok("run", "--rm", name, "cat", "/w") == f"{name}\n{said}"
    daemon.ok("rmi", name)
    assert len(set(daemon.ok("images", "-aq").split()) - before) <= 1, "the linked target leaves no image"
    done = daemon.sampan(
        "builder", "bake", "-f", file, "--set", f"*.output=type=local,dest={tmp_path}/out", "web", "lib"
    )
    assert done.status != 0 and "its output cannot be elsewhere only" in done.err, done


def test_bake_builds_at_the_same_time(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """Each target waits for the other inside its step; then the failure of one ends the other."""
    meet = "RUN --mount=type=cache,id={0},target=/c touch /c/{1} && until [ -e /c/{2} ]; do sleep 0.1; done\n"
    targets = {
        one: {"dockerfile-inline": "FROM busybox\n" + meet.format(name, one, other), "context": str(tmp_path),
              "tags": [f"{name}:{one}"]}
        for one, other in (("a", "b"), ("b", "a"))
    }  # fmt: skip
    targets["bad"] = {
        "dockerfile-inline": f"FROM busybox\nRUN : {name} && echo failing && exit 3\n", "context": str(tmp_path)
    }  # fmt: skip
    targets["endless"] = {
        "dockerfile-inline": f"FROM busybox\nRUN : {name} && sleep 1000\n", "context": str(tmp_path)
    }  # fmt: skip
    (tmp_path / "bake.json").write_text(json.dumps({"target": targets}))
    bake = ("builder", "bake", "--progress", "plain", "-f", str(tmp_path / "bake.json"))
    built = daemon.sampan(*bake, "a", "b")
    assert built.status == 0, built
    for one in ("a", "b"):
        assert f"[{one} stage-0 2/2] RUN" in built.err and f"[{one}] exporting to image" in built.err, built.err
        assert f"naming to docker.io/library/{name}:{one} done" in built.err
    failed = daemon.sampan(*bake, "endless", "bad")
    assert failed.status == 3, failed
    assert failed.err.splitlines()[-1].startswith('ERROR: target bad: failed to solve: process "/bin/sh -c :'), (
        failed.err
    )
    assert "CANCELED" in failed.err and " > [bad 2/2] RUN" in failed.err
    assert not list((daemon.exec_root / "builds").iterdir()), "the client leaves when all have ended"


def test_usage_and_prune(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = make_daemon()
    where = write_context(tmp_path, "FROM busybox\nRUN echo some > /thing\nRUN echo more > /thing\n")
    image = daemon.sampan("build", "-q", where).out.strip()
    shown = daemon.sampan("builder", "du")
    assert shown.status == 0 and "RUN echo some > /thing" in shown.out, shown
    assert "Build Cache" in daemon.ok("system", "df")
    daemon.ok("rmi", image)
    pruned = daemon.sampan("builder", "prune", "-af")
    assert pruned.status == 0, pruned
    assert "RUN" not in daemon.sampan("builder", "du").out
    assert not list((daemon.data_root / "snapshots").rglob("thing"))


def test_remote_contexts(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """git with a branch and a sub-directory, an archive, a Dockerfile alone; by both clients."""
    from ...compat.build.cases import COMMIT, GIT_PORT, PORT
    from ...compat.build.origins import Origins

    origins = Origins(daemon.host, tmp_path / "origins")
    try:
        web = tmp_path / "origins/web"
        (web / "Dockerfile").write_text(f"FROM busybox\nLABEL l={name}\n")
        write_context(tmp_path / "c", "FROM busybox\nCOPY f /\n", f="x")
        with tarfile.open(web / "context.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "c", ".")
        for remote, path in (
            (f"git://127.0.0.1:{GIT_PORT}/repo.git#other:sub", "/file"),
            (f"git://127.0.0.1:{GIT_PORT}/repo.git#v1", "/readme"),
            (f"http://127.0.0.1:{PORT}/context.tar.gz", "/f"),
            (f"http://127.0.0.1:{PORT}/Dockerfile", "/etc/passwd"),
        ):
            built = daemon.sampan("build", "-t", name, remote)
            assert built.status == 0, (remote, built)
            assert daemon.ok("run", "--rm", name, "ls", path) == path
        missing = daemon.sampan("build", f"git://127.0.0.1:{GIT_PORT}/repo.git#other:none")
        assert missing.status != 0
        add = f"FROM busybox\nADD --checksum={{}} git://127.0.0.1:{GIT_PORT}/repo.git#v1 /r\n"
        for checksum, said in (
            (COMMIT, ""), (COMMIT[:12], ""), ("0" * 40, f"expected checksum to match {'0' * 40}, got {COMMIT}"),
            ("sha256:00", "invalid checksum sha256:00 for Git URL, expected hex commit hash"),
        ):  # fmt: skip
            pinned = daemon.sampan("build", "-q", write_context(tmp_path / "pinned", add.format(checksum)))
            assert (pinned.status != 0) == bool(said) and said in pinned.err, pinned
    finally:
        origins.close()
    daemon.ok("rmi", name)


def test_a_stage_may_begin_with_a_directory(daemon: Daemon, name: str, tmp_path: Path) -> None:
    base = write_context(tmp_path / "base", "", f=name)
    where = write_context(tmp_path / "c", "FROM lib\nCOPY --from=lib f /g\n")
    words = ("--build-context", f"lib={base}", where)
    done = daemon.sampan("build", "-o", str(tmp_path / "out"), *words)
    assert done.status == 0, done
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Dockerfile", "f", "g"]
    assert daemon.sampan("build", "-q", "-t", name, *words).status == 0
    assert daemon.ok("inspect", "-f", "{{len .RootFS.Layers}} {{.Config.WorkingDir}}", name) == "2 /"
    (tmp_path / "base/f").write_text("changed")
    assert daemon.sampan("build", "-o", str(tmp_path / "out"), *words).status == 0
    assert (tmp_path / "out/f").read_text() == (tmp_path / "out/g").read_text() == "changed"
    local = write_context(tmp_path / "l", "FROM busybox\nADD --checksum=sha256:aa f /\n", f="f")
    assert "checksum requires HTTP(S) or Git sources" in daemon.sampan("build", local).err


def test_security_options_hold_for_the_steps(daemon: Daemon, tmp_path: Path) -> None:
    where = write_context(tmp_path, "FROM busybox\nRUN grep -E 'NoNewPrivs|Seccomp:' /proc/self/status\n")
    for options, wanted in (((), ("0", "2")), (("no-new-privileges", "seccomp=unconfined"), ("1", "0"))):
        flags = [word for option in options for word in ("--security-opt", option)]
        built = daemon.sampan("build", "--no-cache", "--progress", "plain", *flags, where)
        assert built.status == 0, built
        for name, value in zip(("NoNewPrivs", "Seccomp"), wanted, strict=True):
            assert f"{name}:\t{value}" in built.err, built
    refused = daemon.sampan("build", "--security-opt", "colour=red", where)
    assert 'invalid --security-opt 2: "colour=red"' in refused.err, refused


def test_include_and_locks(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(
        tmp_path, "# syntax=sampan/dockerfile:1\nFROM busybox\nINCLUDE common\nRUN cat /common > /copy\n",
        common=f"ENV INCLUDED=yes\nRUN echo {name} > /common\n",
    )  # fmt: skip
    assert daemon.sampan("build", "-t", name, where).status == 0
    assert daemon.ok("run", "--rm", name, "sh", "-c", "echo $INCLUDED; cat /copy") == f"yes\n{name}"
    write_context(tmp_path, "FROM busybox\nINCLUDE common\n")
    refused = daemon.sampan("build", where)
    assert "unknown instruction: INCLUDE (it needs `# syntax=sampan/dockerfile`" in refused.err
    caches = [f"--mount=type=cache,id={name}{letter},target=/{letter},sharing=locked" for letter in "ab"]
    write_context(
        tmp_path, f"FROM busybox AS one\nRUN {caches[0]} {caches[1]} sleep 0.2; echo {name} > /1\n"
        f"FROM busybox AS two\nRUN {caches[1]} {caches[0]} sleep 0.2; echo {name} > /2\n"
        "FROM scratch\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n",
    )  # fmt: skip
    assert daemon.sampan("build", where).status == 0, "steps that lock in opposite orders"
    daemon.ok("rmi", name)


def test_ssh_agent_of_the_client(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Each connection of a step's reaches the agent on the client's machine; here one that answers in capitals."""
    daemon = make_daemon()
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    agent.listen()
    agent.settimeout(30)
    where = write_context(
        tmp_path / "c", "FROM busybox\nRUN --mount=type=ssh,id=other test -z \"$SSH_AUTH_SOCK\"\n"
        "RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo running; sleep 1000\n", s="secret",
    )  # fmt: skip
    client = _begin(daemon, where, "--ssh", f"default={tmp_path}/agent")
    (path,) = (daemon.exec_root / "builds").glob("*/agent")  # what the step has mounted
    for word in (b"one", b"two"):
        with socket.socket(socket.AF_UNIX) as step:
            step.settimeout(30)
            step.connect(str(path))
            step.sendall(word)
            answering, _ = agent.accept()
            with answering:
                answering.sendall(answering.recv(100).upper())
                assert step.recv(100) == word.upper()
    client.terminate()
    client.communicate(timeout=30)
    agent.close()
    _wait_until_nothing_is_left(daemon)
    required = write_context(tmp_path / "d", "FROM busybox\nRUN --mount=type=ssh,required id\n")
    assert "unset ssh forward key default" in daemon.sampan("build", required).err
