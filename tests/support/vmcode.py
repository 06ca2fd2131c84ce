"""The emulated machine's second image: this repository's sources, the packages they need, the guest's programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .vmimage import CACHE, digest, erofs, made, output

REPOSITORY = Path(__file__).resolve().parents[2]
GUEST = Path(__file__).parent / "guest"
_TOOLS = ("mypy", "pip", "setuptools", "pkg_resources", "rich", "grimp", "hypothesis",
          "importlinter", "ruff", "markdown_it", "xdist", "docker", "librt", "ast_serialize")  # fmt: skip
"""Of the venv's packages, what only development needs."""
KEPT = 8


def code() -> Path:
    """The image for the sources as they are now; a changed source makes a new one in a few seconds."""
    sources = [path for path in (REPOSITORY / "src").rglob("*.*") if path.is_file() and "__pycache__" not in path.parts]
    stamps = "".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}\n" for path in sorted(sources))
    programs = "".join(path.read_text() for path in sorted(GUEST.iterdir()))
    packages = output(sys.executable, "-m", "pip", "freeze", "--exclude-editable")
    image = made(CACHE / f"code-{digest(stamps, programs, packages, Path(__file__).read_text())}.erofs", _make)
    os.utime(image)
    for old in sorted(CACHE.glob("code-*.erofs"), key=os.path.getmtime)[:-KEPT]:
        old.unlink(missing_ok=True)
    return image


def _make(path: Path) -> None:
    tree = path.parent / "tree"
    packages = tree / "opt/sampan"
    packages.mkdir(parents=True)
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "src/sampan", packages / "sampan", ignore=compiled)
    shutil.copytree(GUEST, tree / "opt/guest", ignore=compiled)
    site = Path(next(path for path in sys.path if path.endswith("site-packages")))
    for source in site.iterdir():
        if source.name.startswith(_TOOLS) or "__mypyc" in source.name or source.suffix == ".pth":
            continue
        if source.is_dir():
            shutil.copytree(source, packages / source.name, ignore=compiled)
        else:
            shutil.copy2(source, packages / source.name)
    # Emulated, compiling takes many seconds.
    argv = [
        sys.executable,
        "-m",
        "compileall",
        "-q",
        "-s",
        str(tree),
        "-p",
        "/",
        "--invalidation-mode",
        "unchecked-hash",
    ]
    subprocess.run([*argv, str(tree / "opt")], check=True)
    (tree / "usr/lib/python3/dist-packages").mkdir(parents=True)
    (tree / "usr/lib/python3/dist-packages/sampan.pth").write_text("/opt/sampan\n")
    erofs(path, tree)
