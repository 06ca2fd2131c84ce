"""Limits bite, on this machine's control groups and on emulated machines': v1, v1 beside v2, v2, and v2 by systemd."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..support import emulator
from ..support.limits import CHECKS, SYSTEMD_CHECKS
from ..support.sites import Here, Site, There

_HERE = pytest.param("here", marks=pytest.mark.xdist_group("limits-here"))
_THERE = [
    pytest.param(mode, marks=[pytest.mark.vm, pytest.mark.xdist_group(f"limits-{mode}")]) for mode in emulator.MODES
]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A daemon here, or on an emulated machine."""
    if request.param != "here" and (reason := emulator.lacks()):
        pytest.skip(reason)
    made: Site = Here() if request.param == "here" else There(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("site", [_HERE, *_THERE], indirect=True)
def test_a_limit_bites(site: Site, check: Callable[[Site], None]) -> None:
    check(site)


@pytest.mark.parametrize("check", SYSTEMD_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("site", _THERE[-1:], indirect=True)
def test_systemd_makes_the_groups(site: Site, check: Callable[[Site], None]) -> None:
    check(site)
