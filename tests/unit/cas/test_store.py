from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from sampan.cas import Store
from sampan.errors import Conflict, DataLoss, InvalidArgument, NotFound

DATA = b"layer" * 1000
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"{tmp_path}/content", f"{tmp_path}/tmp")


def test_a_blob_is_found_by_its_digest(store: Store) -> None:
    assert store.add(DATA) == DIGEST
    assert store.read(DIGEST, 1 << 20) == DATA
    assert store.size(DIGEST) == len(DATA)
    assert list(store.walk()) == [(DIGEST, len(DATA))]
    assert store.delete(DIGEST) == len(DATA)
    with pytest.raises(NotFound, match=DIGEST):
        store.open(DIGEST)


def test_a_wrong_byte_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    for resumable in (False, True):
        with pytest.raises(DataLoss, match=DIGEST), store.writer(DIGEST, resumable=resumable) as writer:
            writer.write(DATA[:-1] + b"X")
            writer.commit()
    assert not list(store.walk())
    assert not store.list_partial()
    assert not os.listdir(tmp_path / "tmp")


def test_an_interrupted_blob_resumes_where_it_stood(store: Store) -> None:
    with store.writer(DIGEST, resumable=True) as writer:
        writer.write(DATA[:100])
        with pytest.raises(Conflict):
            store.writer(DIGEST, resumable=True)
    assert store.list_partial() == [(DIGEST, 100)]
    with store.writer(DIGEST, resumable=True) as writer:
        assert writer.offset == 100
        writer.write(DATA[100:])
        assert writer.commit() == (DIGEST, len(DATA))
    assert not store.list_partial()


def test_a_damaged_blob_is_noticed(store: Store) -> None:
    store.add(DATA)
    Path(store.path(DIGEST)).write_bytes(b"other")
    assert not store.verify(DIGEST)
    with pytest.raises(DataLoss, match=DIGEST):
        store.read(DIGEST, 1 << 20)


def test_what_a_crash_left_is_swept_but_a_download_stays_for_a_week(store: Store, tmp_path: Path) -> None:
    (tmp_path / "tmp/blob-left").write_bytes(b"half")
    (tmp_path / "tmp/other").write_bytes(b"not ours")
    with store.writer(DIGEST, resumable=True) as writer:
        writer.write(DATA[:100])
    store.sweep()
    assert os.listdir(tmp_path / "tmp") == ["other"]
    assert store.list_partial()
    os.utime(store.partial_path(DIGEST), (0, 0))
    store.sweep()
    assert not store.list_partial()


def test_collect_keeps_what_is_referenced_or_leased(store: Store) -> None:
    kept, leased, stray = (store.add(data) for data in (b"kept", b"leased", b"stray"))
    with store.lease([leased]):
        assert store.collect({kept}) == len(b"stray")
    assert not store.exists(stray)
    assert store.collect({kept}) == len(b"leased")


def test_a_path_comes_only_from_a_digest(store: Store) -> None:
    for text in ("sha256:../../x", "../x", "sha256:" + "a" * 63 + "/"):
        with pytest.raises(InvalidArgument):
            store.path(text)
    with pytest.raises(InvalidArgument, match="larger"):
        store.read(store.add(DATA), 10)
