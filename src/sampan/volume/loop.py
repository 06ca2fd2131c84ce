"""Loop devices: a file as a disk (loop(4))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_CTL_GET_FREE = 0x4C82  # linux/loop.h
_CONFIGURE = 0x4C0A
_AUTOCLEAR, _READ_ONLY = 4, 1
# struct loop_config: fd, block_size, struct loop_info64 (232 bytes, lo_flags at 52), 8 reserved longs
_CONFIG = struct.Struct("=II 52x I 176x 64x")


def attach(path: str, read_only: bool = False) -> tuple[str, int]:
    """Bind a file to a free loop device: (device path, open fd). It goes away when the last user of it is gone."""
    backing = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        while True:
            device = f"/dev/loop{_free()}"
            fd = os.open(device, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
            try:
                flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
                fcntl.ioctl(fd, _CONFIGURE, _CONFIG.pack(backing, 0, flags))
                return device, fd
            except OSError as error:
                os.close(fd)
                if error.errno != errno.EBUSY:  # somebody else took it first
                    raise
    finally:
        os.close(backing)


def _free() -> int:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, _CTL_GET_FREE)
    finally:
        os.close(control)
