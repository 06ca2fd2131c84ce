"""Small tar streams for tests."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field


@dataclass
class Member:
    """One member; `type` is one of tarfile's."""

    name: str
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    link: str = ""
    uid: int = 0
    gid: int = 0
    mtime: float = 1_700_000_000
    device: tuple[int, int] = (0, 0)
    pax: dict[str, str] = field(default_factory=dict)


def directory(name: str, mode: int = 0o755, **more: object) -> Member:
    return Member(name, type=tarfile.DIRTYPE, mode=mode, **more)  # type: ignore[arg-type]


def symlink(name: str, link: str) -> Member:
    return Member(name, type=tarfile.SYMTYPE, mode=0o777, link=link)


def hardlink(name: str, link: str) -> Member:
    return Member(name, type=tarfile.LNKTYPE, link=link)


def tar(*members: Member, format: int = tarfile.PAX_FORMAT) -> io.BytesIO:
    """An archive as Python's tarfile, an independent implementation, writes it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.mode, info.linkname = member.type, member.mode, member.link
            info.uid, info.gid, info.mtime, info.size = member.uid, member.gid, member.mtime, len(member.data)
            info.devmajor, info.devminor = member.device
            info.pax_headers = member.pax
            archive.addfile(info, io.BytesIO(member.data))
    stream.seek(0)
    return stream


def read(data: bytes) -> dict[str, tarfile.TarInfo]:
    """The members of an archive by name, read by tarfile."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: info for info in archive.getmembers()}
