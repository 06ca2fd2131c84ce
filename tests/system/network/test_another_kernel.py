"""What the machine's own kernel may lack, or what is not to be touched there, on an emulated one that has it.

802.1q, ipvlan, ESP, SCTP, project quotas, handlers of binfmt_misc. The tests are those that are skipped where the
kernel lacks something; there none of them may be.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...support import emulator
from ...support.emulator import Machine

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES = ("8021q", "ipvlan", "macvlan", "vxlan", "sctp", "xfrm_user", "esp4", "esp6", "authenc", "echainiv", "drbg",
           "xfs", "quota_v2", "loop", "binfmt_misc")  # fmt: skip
TESTS = (
    "tests/system/network/test_sublinks.py::test_vlan_100",
    "tests/system/network/test_sublinks.py::test_ipvlan",
    "tests/system/network/test_ports.py::test_streams_of_sctp",
    "tests/contract/linux/test_xfrm.py",
    "tests/security/test_s27_encrypted_overlay_is_never_clear.py::test_s27_what_is_between_the_hosts_is_esp_or_nothing",
    "tests/security/test_s27_encrypted_overlay_is_never_clear.py::test_s27_policies_alone_keep_clear_text_out",
    "tests/security/test_s27_encrypted_overlay_is_never_clear.py::test_s27_an_old_key_is_forgotten",
    "tests/contract/test_project_quotas.py",
    "tests/system/engine/test_foreign_builds.py",
)
PASSES = 20
PYTEST = """
cd /opt/repository && PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python3 -m pytest -q -p pytest_asyncio.plugin \\
    -p no:cacheprovider --tb=short --durations=12 --basetemp /tmp/pytest TESTS
"""


@pytest.fixture
def other_machine() -> Iterator[Machine]:
    if reason := emulator.lacks():
        pytest.skip(reason)
    with Machine("v2") as machine:
        machine.ok("mkdir", "-p", "/opt/repository", "/var/tmp")
        machine.ok("tar", "-C", "/opt/repository", "-xf", "-", stdin=_sources())
        for module in MODULES:
            machine.ok("modprobe", module)
        yield machine


def _sources() -> bytes:
    """The tests and what they share, as a tar archive; without the session's own checks, which need more packages."""
    files = {"pyproject.toml", *(name.partition("::")[0] for name in TESTS)}
    packages = {folder for name in files for folder in Path(name).parents}
    files |= {str(folder / name) for folder in packages for name in ("__init__.py", "conftest.py")}
    files |= {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "tests/support").glob("*.py")}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in sorted(files - {"tests/conftest.py"}):
            if (REPOSITORY / name).exists():
                archive.add(REPOSITORY / name, name)
    return packed.getvalue()


@pytest.mark.vm
def test_nothing_is_left_out_there(other_machine: Machine) -> None:
    done = other_machine.run("sh", "-c", PYTEST.replace("TESTS", " ".join(TESTS)), timeout=1500)
    assert done.status == 0 and f"{PASSES} passed" in done.out and "skipped" not in done.out, str(done)
