"""Digests of the files that a context had when it was sent last, so that only what changed travels again.

    build/remembered/<digest of shared key and name>    path → size, mtime in ns, sha256

As with BuildKit, a client vouches by its shared key that a file of the same path, size and time has the same contents.
buildx's key is hardly more than a directory's last name, so that is doubted where times tell little: a full second is
what archives and `touch` leave behind, whatever is in the file; and what was modified shortly before it travelled may
change again within the same tick of its clock.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import msgspec

from .listing import File

if TYPE_CHECKING:
    from ..engine.engine import Engine

MOST: Final = 64
"""Contexts that are remembered; what was used least recently goes first."""
MOST_FILES: Final = 200_000
"""Of a context of which only parts are sent; more than one transfer has is forgotten beyond."""
_SECOND: Final = 10**9
_SETTLED: Final = 2 * _SECOND


class _Known(msgspec.Struct, array_like=True, frozen=True):
    size: int
    mtime_ns: int
    sha256: bytes


class Remembered:
    """Of one context; of one without a shared key nothing is. `whole`: a transfer has all files that there are.

    A build asks for the ignore file alone, and then for what its steps read: what it did not ask for stays known.
    """

    def __init__(self, place: str, *, whole: bool) -> None:
        self._place = place
        self._whole = whole
        self._known: dict[str, _Known] = {}
        if place:
            try:
                with open(place, "rb") as file:
                    self._known = msgspec.msgpack.decode(file.read(), type=dict[str, _Known])
            except (FileNotFoundError, msgspec.MsgspecError):
                pass  # it is new, or a crash has cut it short

    @classmethod
    def of(cls, engine: Engine, shared_key: str, name: str, *, whole: bool) -> Remembered:
        """That of a client's directory."""
        key = hashlib.sha256(f"{shared_key}\0{name}".encode()).hexdigest()
        return cls(f"{engine.paths.build}/remembered/{key}" if shared_key else "", whole=whole)

    @property
    def wanted(self) -> bool:
        """Whether there is a next time."""
        return bool(self._place)

    def digest(self, file: File) -> bytes | None:
        """The sha256 of its contents, if it is as it was."""
        known = self._known.get(file.path)
        same = known is not None and (known.size, known.mtime_ns) == (file.size, file.mtime_ns)
        return known.sha256 if known is not None and same else None

    def learn(self, files: Iterable[File], sent_ns: int) -> None:
        """Remember these, which began to travel at `sent_ns`."""
        if not self._place:
            return
        known = {
            file.path: _Known(file.size, file.mtime_ns, bytes.fromhex(file.inode.sha256))
            for file in files
            if file.inode.size == file.size and file.mtime_ns % _SECOND and file.mtime_ns < sent_ns - _SETTLED
        }
        if not self._whole and len(self._known) + len(known) <= MOST_FILES:
            known = self._known | known
        if known == self._known:
            return
        os.makedirs(os.path.dirname(self._place), mode=0o700, exist_ok=True)
        draft = f"{self._place}.{token_hex(4)}"
        with open(draft, "wb") as out:
            out.write(msgspec.msgpack.encode(known))
        os.rename(draft, self._place)
        self._shrink()

    def _shrink(self) -> None:
        directory = os.path.dirname(self._place)
        names = sorted(os.scandir(directory), key=lambda one: one.stat().st_mtime_ns, reverse=True)
        for entry in names[MOST:]:
            os.unlink(entry.path)
