"""The OCI runtime: from a bundle to a running container, in process or as the command `sampan-runc`."""

from .failure import ExecFailed, RuntimeFailed
from .launch import Created, Launch, Parked, create, exec_process, park

__all__ = ["Created", "ExecFailed", "Launch", "Parked", "RuntimeFailed", "create", "exec_process", "park"]
