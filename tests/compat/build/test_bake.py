"""`bake --print` of ours is what buildx prints (golden/bake.json, recorded by `record_bake.py`), without a daemon."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ...support.daemon import BIN
from ...support.hosts import run
from .bake_cases import BAKES, BakeCase
from .record_bake import GOLDENS, answer, write_files

PRINTED = json.loads(GOLDENS.read_text())["printed"]


@pytest.mark.parametrize("case", BAKES, ids=lambda case: case.name)
def test_print(case: BakeCase, tmp_path: Path) -> None:
    write_files(tmp_path)
    command = [str(BIN / "sampan"), "builder", "bake", "--print", *case.words]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SAMPAN_NO_AUTOSTART": "1", **case.env}
    done = run(["sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path), *command], env=environment)
    ours = answer(done.status, done.out, done.err)
    assert ours == PRINTED[case.name]
    assert json.dumps(ours) == json.dumps(PRINTED[case.name]), "the order of keys"
