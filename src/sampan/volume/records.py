"""A copy of each local volume's row beside its data: without it a lost database would turn a tmpfs, an NFS or a
size-limited volume into a plain directory (S31).
"""

from __future__ import annotations

import os

import msgspec
from msgspec.structs import replace

from .volume import Volume

FILE = "volume.json"


def write(home: str, volume: Volume) -> None:
    """Write the copy into the volume's directory; not durable by itself, the database is."""
    with open(f"{home}/{FILE}.tmp", "wb") as file:
        file.write(msgspec.json.encode(volume))
    os.rename(f"{home}/{FILE}.tmp", f"{home}/{FILE}")


def read(home: str) -> Volume | None:
    """The volume by its copy; its name is that of the directory, which may have been renamed since."""
    try:
        with open(f"{home}/{FILE}", "rb") as file:
            found = msgspec.json.decode(file.read(1 << 20), type=Volume)
    except (OSError, msgspec.DecodeError):
        return None
    return replace(found, name=os.path.basename(home))
