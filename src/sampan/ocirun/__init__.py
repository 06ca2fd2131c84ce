"""The OCI runtime: from a bundle to a running container, in process or as the command `sampan-runc`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .failure import ExecFailed, RuntimeFailed
    from .launch import Created, Launch, Parked, create, exec_process, park

__all__ = ["Created", "ExecFailed", "Launch", "Parked", "RuntimeFailed", "create", "exec_process", "park"]


def __getattr__(name: str) -> object:
    # Loaded at first use (PEP 562): sampan-runc passes through here once more before it has sealed itself.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import failure, launch

    found: object = getattr(failure if name.endswith("Failed") else launch, name)
    globals()[name] = found
    return found
