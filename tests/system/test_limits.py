"""Limits bite, on this machine's control groups and on emulated machines': v1, v1 beside v2, v2, and v2 by systemd."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..support import emulator
from ..support.limits import CHECKS, SYSTEMD_CHECKS
from ..support.sites import Here, Site, There


def _cases(mode: str) -> list[object]:
    marks = [pytest.mark.xdist_group(f"limits-{mode}"), *([] if mode == "here" else [pytest.mark.vm])]
    checks = CHECKS + SYSTEMD_CHECKS if mode == "systemd" else CHECKS
    return [pytest.param(mode, check, marks=marks, id=f"{mode}-{check.__name__}") for check in checks]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A daemon here, or on an emulated machine."""
    if request.param != "here" and (reason := emulator.lacks()):
        pytest.skip(reason)
    made: Site = Here() if request.param == "here" else There(request.param)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("site", "check"), [case for mode in ("here", *emulator.MODES) for case in _cases(mode)], indirect=["site"]
)
def test_a_limit_bites(site: Site, check: Callable[[Site], None]) -> None:
    check(site)
