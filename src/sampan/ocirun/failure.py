"""What can go wrong between a bundle and a running program."""

from __future__ import annotations

import errno

from ..errors import SampanError


class RuntimeFailed(SampanError):
    """A step of setting a container up failed; the text says which."""

    exit_code = 1


class ExecFailed(RuntimeFailed):
    """The container's program cannot be executed; the text is runc's.

    `exit_code` is what `docker run` exits with: 127 for a program that is not there, 126 for one that may not be run.
    """

    def __init__(self, number: int, message: str, phase: str = "error during container init: ") -> None:
        super().__init__(f"unable to start container process: {phase}{message}")
        self.errno = number
        self.message = message
        self.exit_code = 127 if number in (errno.ENOENT, errno.ENOTDIR) else 126
