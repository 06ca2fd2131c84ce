"""S20–S23: what a build may reach, who may ask for more, where sources come from, where secrets stay."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.build.fetching import _confined, clone
from sampan.build.frontend.files import git_source
from sampan.build.mounting import inside
from sampan.build.session import Session
from sampan.errors import InvalidArgument, NotFound, SampanError

from ..support.daemon import Daemon

CANARY = "canary-5ee1f00d-of-no-file"


def _write(directory: Path, dockerfile: str) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    return str(directory)


# S20


def test_s20_mount_sources_stay_in_their_tree(daemon: Daemon, tmp_path: Path) -> None:
    secret = tmp_path / "outside"
    secret.write_text(CANARY)
    where = _write(tmp_path / "c", "")
    os.symlink(str(secret), tmp_path / "c/absolute")
    os.symlink("../" * 30 + str(secret).lstrip("/"), tmp_path / "c/relative")
    os.symlink("/", tmp_path / "c/root")
    for source in ("absolute", "relative", "root" + str(secret), "../" * 30 + str(secret).lstrip("/")):
        _write(tmp_path / "c", f"FROM busybox\nRUN --mount=type=bind,source={source},target=/x cat /x\n")
        done = daemon.sampan("build", "--progress", "plain", where)
        assert done.status != 0 and CANARY not in done.err + done.out, done
    _write(tmp_path / "c", "FROM busybox\nCOPY absolute /x\n")
    done = daemon.sampan("build", where)
    assert done.status != 0 and "not found" in done.err, done


def test_s20_a_hostile_stage_cannot_point_a_mount_or_a_cache_at_the_host(daemon: Daemon, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    where = _write(
        tmp_path / "c",
        "FROM busybox AS evil\n"
        f"RUN ln -s / /root-link && mkdir -p /cache {victim} && ln -s {victim} /cache/l\n"
        "FROM busybox\n"
        "RUN --mount=type=cache,id=s20,from=evil,source=/cache,target=/k echo x > /k/l/planted || true\n"
        "RUN --mount=type=cache,id=s20,target=/k rm -rf /k/l && ln -s / /k/l\n"
        f"RUN --mount=type=cache,id=s20,target=/k/l/..{victim} echo y > {victim}/planted || true\n"
        f"RUN --mount=type=bind,from=evil,source=/root-link{victim},target=/m,rw touch /m/planted || true\n",
    )  # fmt: skip
    done = daemon.sampan("build", where)
    assert done.status == 0, done.err  # what was asked for lies in the stage as well
    assert list(victim.iterdir()) == []


def test_s20_a_source_swapped_for_a_link_while_it_is_resolved(tmp_path: Path) -> None:
    """Resolution ends inside the tree or fails, however fast its parts change."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "d").mkdir(parents=True)
    (outside / "f").mkdir(parents=True)
    (root / "d/f").mkdir()
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(root / "d", root / "kept")
            os.symlink(outside, root / "d")
            os.unlink(root / "d")
            os.rename(root / "kept", root / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(2000):
            try:
                found = inside(str(root), "d/f")
            except (NotFound, InvalidArgument, OSError):
                continue
            assert found.startswith(str(root)), found
    finally:
        over.set()
        thread.join()


# S21


def test_s21_entitlements_are_the_executors_business(
    daemon: Daemon, make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    """By default as Docker: the host's network is granted, privileges are not, whatever the client says."""
    config = {"builder": {"entitlements": {"network-host": False, "security-insecure": True}}}
    other = make_daemon(config=json.dumps(config))
    network = _write(tmp_path / "n", "FROM busybox\nRUN --network=host true\n")
    insecure = _write(tmp_path / "s", "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status\n")
    for where, words, refused in (
        (network, (), (None, "network.host")),
        (network, ("--allow", "network.host"), (None, "network.host")),
        (insecure, (), ("security.insecure", "security.insecure")),
        (insecure, ("--allow", "security.insecure"), ("security.insecure", None)),
    ):
        for one, what in zip((daemon, other), refused, strict=True):
            done = one.sampan("build", "--no-cache", "--progress", "plain", *words, where)
            assert (f"{what} is not allowed" in done.err) if what else done.status == 0, (words, done)
    granted = re.search(r"CapEff:\s+([0-9a-f]+)", done.err)
    assert granted is not None and int(granted[1], 16) >> 21 & 1, "CAP_SYS_ADMIN"


# S22


@pytest.mark.parametrize(
    "remote",
    [
        "ext::sh -c touch% /tmp/x",
        "file:///etc",
        "--upload-pack=touch /tmp/x",
        "/etc",
        "https://host/\nx",
        "ssh://-oProxyCommand=x/y",
        "ssh://user@-oProxyCommand=x/y",
        "ssh://-oProxyCommand=x@host/y",
        "ssh://%2DoProxyCommand=x/y",
        "ssh://[-oProxyCommand=x]/y",
        "git@-oProxyCommand.x:y",
        "-oProxyCommand@host:y",
        "git@host:--upload-pack=x",
    ],
)
async def test_s22_only_network_protocols(remote: str, tmp_path: Path) -> None:
    class _Engine:
        class paths:  # stands for an attribute
            tmp = str(tmp_path)

    session = Session(_Engine(), lambda event: None)  # type: ignore[arg-type] # all that a checkout needs
    with pytest.raises(SampanError, match="invalid git remote"):
        await clone(session, git_source(remote))
    with pytest.raises(SampanError, match="invalid git ref"):
        await clone(session, git_source(f"git://127.0.0.1:1/x#{'--upload-pack=x'}"))
    await session.close()
    assert list(tmp_path.iterdir()) == []


def test_s22_subdirectories_stay_in_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    os.symlink("/etc", checkout / "link")
    for subdir in ("link", "../..", "link/../../etc", "/etc"):
        try:
            found = _confined(str(checkout), subdir)
        except NotFound:
            continue
        assert found.startswith(str(checkout))


# S23


def test_s23_a_secret_is_nowhere_afterwards(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = make_daemon()
    (tmp_path / "secret").write_text(CANARY)
    where = _write(
        tmp_path / "c",
        "FROM busybox\n"
        "RUN --mount=type=secret,id=a test -s /run/secrets/a && wc -c < /run/secrets/a > /size\n"
        "RUN --mount=type=secret,id=b,env=TOKEN test -n \"$TOKEN\" && echo ${#TOKEN} > /length\n"
        "RUN test -n \"$http_proxy\" && echo ok > /proxy\nCOPY . /c\n",
    )  # fmt: skip
    words = [
        "build", "-t", "kept", "--secret", f"id=a,src={tmp_path}/secret", "--secret", f"id=b,src={tmp_path}/secret",
        "--build-arg", f"http_proxy=http://u:{CANARY}@proxy:1", "--progress", "rawjson", "--explain", where,
    ]  # fmt: skip
    first = daemon.sampan(*words)
    assert first.status == 0, first
    again = daemon.sampan(*[word.replace(CANARY, "another") for word in words])
    hits = [json.loads(line) for line in again.out.splitlines() if '"Explained"' in line]
    assert hits and all(event["hit"] for event in hits), "neither the secret nor the proxy counts for the cache"
    said = (
        first.out + first.err + daemon.log + daemon.ok("history", "--no-trunc", "kept") + daemon.ok("inspect", "kept")
    )
    assert CANARY not in said
    archive = subprocess.run(["docker", "-H", daemon.url, "save", "kept"], capture_output=True, check=True).stdout
    assert CANARY.encode() not in archive
    container = daemon.ok("create", "kept")
    tree = subprocess.run(["docker", "-H", daemon.url, "export", container], capture_output=True, check=True).stdout
    assert b"length" in tree and CANARY.encode() not in tree
    daemon.stop()
    with sqlite3.connect(daemon.data_root / "sampan.db") as database:
        assert CANARY not in "\n".join(database.iterdump())
    for path in (*daemon.data_root.rglob("*"), *daemon.exec_root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            assert CANARY.encode() not in path.read_bytes(), path
    daemon.start()


def test_s23_a_pulled_image_is_no_cache(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """An image that claims to be the result of a step is not taken for it."""
    where = _write(tmp_path, f"FROM busybox\nRUN echo {name} > /x\n")
    forged = _write(tmp_path / "forged", f"FROM busybox\nCOPY x /x\nLABEL a={name}\n")
    (tmp_path / "forged/x").write_text("forged\n")
    assert daemon.sampan("build", "-t", f"{name}-forged", forged).status == 0
    assert daemon.sampan("build", "-t", name, "--cache-from", f"{name}-forged", where).status == 0
    assert daemon.ok("run", "--rm", name, "cat", "/x") == name
    daemon.ok("rmi", name, f"{name}-forged")
