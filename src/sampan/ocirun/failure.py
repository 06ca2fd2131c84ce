"""What can go wrong between a bundle and a running program."""

from __future__ import annotations

import errno
import os

from ..errors import SampanError


def reason(error: OSError) -> str:
    """What a system call said, as programs in Go have it: the file before it, in lower case."""
    said = error.strerror or str(error)
    if said == os.strerror(error.errno or 0):
        said = said.lower()
    return f"{error.filename}: {said}" if error.filename else said


class RuntimeFailed(SampanError):
    """A step of setting a container up failed; the text says which."""

    exit_code = 1


_EXIT_CODES = {errno.ENOENT: 127, errno.ENOTDIR: 127, errno.EACCES: 126}


class ExecFailed(RuntimeFailed):
    """The container's program cannot be executed; the text is runc's.

    `exit_code` is what `docker run` exits with: 127 for a program that is not there, 126 for one that may not be run,
    else 128.
    """

    def __init__(self, number: int, message: str, phase: str = "error during container init: ") -> None:
        super().__init__(f"unable to start container process: {phase}{message}")
        self.errno = number
        self.message = message
        self.exit_code = _EXIT_CODES.get(number, 128)
