"""Running containers as the engine sees them: bundle, zygote and shim clients, external runtimes."""

from .channel import CommandFailed, ShimGone, exit_code
from .shim import CreateContainer, ExecProcess, Exit, LogSetup, Shim, Status, read_exit
from .zygote import Zygote

__all__ = [
    "CommandFailed", "CreateContainer", "ExecProcess", "Exit", "LogSetup", "Shim", "ShimGone", "Status", "Zygote",
    "exit_code", "read_exit",
]  # fmt: skip
