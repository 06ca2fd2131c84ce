"""Gather what the registry server needs from this machine into a directory: no network, no base image.

    .venv/bin/python examples/registry/context.py examples/registry/rootfs
    sampan build -t registry examples/registry
    sampan run -d -p 5000:5000 -v images:/var/lib/sampan-registry registry

Interpreter, standard library, sampan, its dependencies, the shared libraries of all of them, and the certificates.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGES = (
    "sampan", "aiohttp", "aiohappyeyeballs", "aiosignal", "attr", "frozenlist", "h11", "idna", "isal", "msgspec",
    "multidict", "propcache", "typing_extensions", "yarl", "zstandard",
)  # fmt: skip
SKIPPED = ("__pycache__", "test", "tests", "idlelib", "ensurepip", "config-*", "tkinter", "lib2to3", "dist-packages")
EXTRA = ("/etc/ssl/certs/ca-certificates.crt", "/etc/mime.types")


def main(target: Path) -> None:
    """Fill the directory `target`, which must not exist."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = Path(sysconfig.get_path("stdlib"))
    place = target / "usr/bin" / "python3"
    place.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.base_prefix) / "bin" / version, place)
    ignore = shutil.ignore_patterns(*SKIPPED)
    shutil.copytree(stdlib, target / "usr/lib" / version, ignore=ignore)
    modules = target / "usr/lib" / version / "dist-packages"
    modules.mkdir()
    for name in PACKAGES:
        copy_module(name, modules, ignore)
    for path in libraries(target):
        copy(path, target)
    for extra in map(Path, EXTRA):
        if extra.exists():
            copy(extra, target)
    # Debian's site module looks into python3/dist-packages.
    (target / "usr/lib/python3").mkdir()
    (target / "usr/lib/python3/dist-packages").symlink_to(f"../{version}/dist-packages")
    (target / "tmp").mkdir(mode=0o1777)


def copy_module(name: str, target: Path, ignore: object) -> None:
    """A package or a single module, without its tests and caches."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed for {sys.executable}")
    origin = Path(spec.origin)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, target / name, ignore=ignore)  # type: ignore[arg-type]
    else:
        shutil.copy2(origin, target / origin.name)


def libraries(target: Path) -> set[Path]:
    """Shared libraries of every binary in the tree, and libcrypt, which is opened by name."""
    binaries = [target / "usr/bin/python3", *target.rglob("*.so")]
    listing = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    words = {word for line in listing.splitlines() for word in line.split() if word.startswith("/")}
    found = {Path(word) for word in words if not word.endswith(":") and str(target) not in word}
    return found | {path.parent / "libcrypt.so.1" for path in found if (path.parent / "libcrypt.so.1").exists()}


def copy(path: Path, target: Path) -> None:
    """One file at its own path, links followed."""
    place = target / str(path).lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
