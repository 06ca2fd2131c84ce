"""Contexts travel between the stock client and ours, both ways."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SAMPAN = str(Path(sys.executable).parent / "sampan")


def run(program: str, config: Path, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": os.environ["PATH"], "DOCKER_CONFIG": str(config), "HOME": str(config)}
    return subprocess.run([program, "context", *words], input=data, capture_output=True, env=environment)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A configuration directory with a context `far` that has a certificate."""
    key = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=far"]
    subprocess.run(
        [*key, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem"], check=True, capture_output=True
    )
    endpoint = f"host=tcp://192.0.2.4:2376,ca={tmp_path}/ca.pem"
    assert run(SAMPAN, tmp_path, "create", "far", "--description", "d", "--docker", endpoint).returncode == 0
    return tmp_path


@pytest.mark.parametrize(("writer", "reader"), [("docker", SAMPAN), (SAMPAN, "docker"), (SAMPAN, SAMPAN)])
def test_a_context_travels(made: Path, writer: str, reader: str) -> None:
    archive = run(writer, made, "export", "far", "-").stdout
    taken = run(reader, made, "import", "near", "-", data=archive)
    assert (taken.stdout, taken.stderr) == (b"near\n", b'Successfully imported context "near"\n')
    far, near = (run("docker", made, "inspect", name).stdout for name in ("far", "near"))
    assert far and near.count(b"ca.pem") == 1
    assert b'"Host": "tcp://192.0.2.4:2376"' in near
    assert run(SAMPAN, made, "export", "near", "-").stdout.count(b"BEGIN CERTIFICATE") == 1


def test_both_clients_pack_the_same(made: Path) -> None:
    listings = []
    for program in ("docker", SAMPAN):
        target = made / f"{Path(program).name}.tar"
        assert run(program, made, "export", "far", str(target)).stderr == f'Written file "{target}"\n'.encode()
        with target.open("ab") as file:
            file.write(bytes(tarfile.RECORDSIZE))  # Docker never closes its archive
        with tarfile.open(target) as archive:
            listings.append([(entry.name, entry.mode, entry.type) for entry in archive])
    assert listings[0] == listings[1]


def test_what_is_refused(made: Path) -> None:
    run(SAMPAN, made, "export", "far", str(made / "kept.tar"))
    odd = made / "odd.tar"
    with tarfile.open(odd, "w") as archive:
        archive.add(made / "ca.pem", "tls/docker/../../../key.pem")
    (made / "empty.tar").write_bytes(b"")
    for words in (
        ("export", "far", str(made / "kept.tar")),
        ("export", "nosuch", "-"),
        ("import", "far", str(made / "kept.tar")),
        ("import", "default", str(made / "kept.tar")),
        ("import", "a b", str(made / "kept.tar")),
        ("import", "new", "/nosuch"),
    ):
        theirs, ours = (run(program, made, *words) for program in ("docker", SAMPAN))
        assert (theirs.returncode, theirs.stderr) == (ours.returncode, ours.stderr), words
    for archive_path in (odd, made / "empty.tar"):
        assert run(SAMPAN, made, "import", "new", str(archive_path)).returncode == 1
    assert run("docker", made, "inspect", "new").returncode == 1
