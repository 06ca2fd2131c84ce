"""`sampan image bootstrap`: a base image from the distribution's own packages, where no registry is in reach.

`busybox` comes from Debian's busybox-static, `debian:SUITE` and `ubuntu:SUITE` from debootstrap and the host's
configured mirror.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import BinaryIO

from msgspec import Struct

from ..errors import InvalidArgument, SampanError, Unavailable
from ..image.aptsources import mirror_of, read_sources, sources_document
from ..image.baseimage import busybox_tar, clean_debian, is_static, tree_tar
from ..image.importing import ImportOptions, import_config, with_layer
from ..image.record import Image
from ..model.progress import Progress, Report
from ..oci import config as configs
from ..oci import platform as platforms
from ..oci import reference
from ..oci.reference import Reference
from . import info
from .imagehost import ImageHost, image_event
from .images import set_tag

_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUSYBOX_PATHS = ("/bin/busybox", "/usr/bin/busybox")


class _Distribution(Struct, frozen=True):
    keyring: str
    default_suite: str


_DISTRIBUTIONS = {
    "debian": _Distribution("/usr/share/keyrings/debian-archive-keyring.gpg", "stable"),
    "ubuntu": _Distribution("/usr/share/keyrings/ubuntu-archive-keyring.gpg", "noble"),
}


async def bootstrap(host: ImageHost, name: str, report: Report) -> Image:
    """Make `busybox`, `debian[:SUITE]` or `ubuntu[:SUITE]` and tag it; raises InvalidArgument for anything else."""
    wanted = reference.parse(name)
    kind, suite = wanted.familiar_name, wanted.tag
    if kind == "busybox":
        return await _busybox(host, wanted.with_default_tag(), report)
    if kind not in _DISTRIBUTIONS:
        known = ", ".join(["busybox", *(f"{distribution}:SUITE" for distribution in _DISTRIBUTIONS)])
        raise InvalidArgument(f"cannot bootstrap {name}: known are {known}")
    release = info.os_release()
    own_id, own_suite = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    latest = not suite or suite == "latest" or (own_id == kind and suite == own_suite)
    if not suite or suite == "latest":
        suite = own_suite if own_id == kind else _DISTRIBUTIONS[kind].default_suite
    names = [wanted.tagged(suite), *([wanted.tagged("latest")] if latest else [])]
    return await _debian(host, kind, suite, names, report)


async def _busybox(host: ImageHost, target: Reference, report: Report) -> Image:
    with tempfile.TemporaryDirectory(dir=host.paths.tmp) as work:
        path = next((path for path in _BUSYBOX_PATHS if os.path.exists(path) and is_static(path)), None)
        path = path or await _fetch_busybox(work, report)
        report(Progress(status=f"Packing {path}"))
        applets = (await _output(path, "--list")).split()
        with open(path, "rb") as program:
            data = busybox_tar(program.read(), applets, os.stat(path).st_mtime)
        return await _import(host, [target], lambda file: file.write(data), 'CMD ["sh"]')


async def _fetch_busybox(work: str, report: Report) -> str:
    await _run(report, "apt-get", "download", "-q", "busybox-static", directory=work)
    package = next(name for name in os.listdir(work) if name.endswith(".deb"))
    await _run(report, "dpkg-deb", "-x", package, "root", directory=work)
    found = [f"{work}/root{path}" for path in _BUSYBOX_PATHS if os.path.exists(f"{work}/root{path}")]
    if not found:
        raise SampanError("the package busybox-static holds no busybox")
    return found[0]


async def _debian(host: ImageHost, kind: str, suite: str, names: list[Reference], report: Report) -> Image:
    sources = read_sources()
    mirror = mirror_of([source for source in sources if kind in source.uri], suite)
    if mirror is None:
        raise Unavailable(f"cannot bootstrap {kind}:{suite}: apt has no source for it")
    security = next((source.uri for source in sources if f"{suite}-security" in source.suites), None)
    keyring = _DISTRIBUTIONS[kind].keyring
    with tempfile.TemporaryDirectory(dir=host.paths.tmp) as work:
        root = f"{work}/root"
        options = [f"--keyring={keyring}"] if os.path.exists(keyring) else []
        # A mount namespace of its own: debootstrap mounts /proc in the tree, and nothing of that may stay behind.
        await _run(report, "unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase",
                   *options, suite, root, mirror)  # fmt: skip
        await asyncio.to_thread(clean_debian, root, sources_document(mirror, security, suite, keyring))
        return await _import(host, names, lambda file: tree_tar(root, file), 'CMD ["bash"]')


async def _import(host: ImageHost, names: list[Reference], fill: Callable[[BinaryIO], object], command: str) -> Image:
    config = import_config(
        ImportOptions(platforms.host(), message="made by sampan image bootstrap", changes=[_PATH, command])
    )
    with tempfile.TemporaryFile(dir=host.paths.tmp) as file:
        await asyncio.to_thread(fill, file)
        file.seek(0)
        layer = await host.images.layers.ingest(file, None)
    image = host.images.add(configs.encode(with_layer(config, layer)), [layer])
    for name in names:
        set_tag(host, image, name)
    image_event(host, "import", image)
    return host.images.by_id(image.id)


async def _output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


async def _run(report: Report, *command: str, directory: str | None = None) -> None:
    """Run a program and report its lines; raises Unavailable when it is missing, SampanError when it fails."""
    if shutil.which(command[0]) is None or (command[0] == "unshare" and shutil.which("debootstrap") is None):
        raise Unavailable(f"{command[0] if command[0] != 'unshare' else 'debootstrap'} is not installed")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=directory, start_new_session=True,
    )  # fmt: skip
    last = ""
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            last = line.decode(errors="replace").rstrip()
            report(Progress(status=last))
        status = await process.wait()
    except asyncio.CancelledError:
        await _terminate(process)
        raise
    if status:
        raise SampanError(f"{' '.join(command)} failed with status {status}: {last}")


async def _terminate(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, 15)
        await process.wait()
