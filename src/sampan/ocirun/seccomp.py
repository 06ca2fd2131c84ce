"""From an OCI seccomp profile to BPF, compiled once and kept by the profile's digest."""

from __future__ import annotations

import marshal
import os

from ..linux import seccomp as linux_seccomp
from .failure import RuntimeFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERSION = b"1"
"""Changes when the same profile would compile to something else."""

_memory: dict[bytes, bytes] = {}


def compiled(profile: dict[str, Any], cache: str = "") -> bytes:
    """The BPF of a profile; `cache` is a directory that only we can write to, or empty for none."""
    # marshal keeps the order of a dict, so equal profiles may have two digests: only a lost chance, never a wrong hit.
    key = _VERSION + os.uname().release.encode() + marshal.dumps(profile, 2)
    if key not in _memory:
        _memory[key] = _from_disk(key, profile, cache) if cache else compile_profile(profile)
    return _memory[key]


def _from_disk(key: bytes, profile: dict[str, Any], cache: str) -> bytes:
    from _blake2 import blake2b  # hashlib would load OpenSSL

    path = f"{cache}/{blake2b(key, digest_size=20).hexdigest()}.bpf"
    try:
        with open(path, "rb") as file:
            if found := file.read():  # nothing: what a power cut left, and no filter at all
                return found
    except FileNotFoundError:
        pass
    bpf = compile_profile(profile)
    os.makedirs(cache, 0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(bpf)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return bpf


def flags(profile: dict[str, Any]) -> int:
    """SECCOMP_FILTER_FLAG_* of a profile; without any word SPEC_ALLOW, as runc (no SSB mitigation for the filtered)."""
    words = profile.get("flags")
    if words is None:
        return linux_seccomp.FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    return sum(linux_seccomp.FLAGS.get(word, 0) for word in words)


def compile_profile(profile: dict[str, Any]) -> bytes:
    """The BPF of a profile, by libseccomp."""
    if profile.get("listenerPath"):
        raise RuntimeFailed("seccomp listenerPath is not supported")
    try:
        default = linux_seccomp.action_value(profile["defaultAction"], profile.get("defaultErrnoRet"))
        with linux_seccomp.Filter(default, profile.get("architectures") or []) as made:
            for rule in profile.get("syscalls") or ():
                action = linux_seccomp.action_value(rule["action"], rule.get("errnoRet"))
                for name in rule["names"]:
                    _add(made, name, action, rule.get("args") or [])
            return made.export()
    except (ValueError, OSError) as error:
        raise RuntimeFailed(f"unable to init seccomp: {error}") from error


def _add(made: linux_seccomp.Filter, name: str, action: int, arguments: list[dict[str, Any]]) -> None:
    compares = [(entry["index"], entry["op"], entry["value"], entry.get("valueTwo") or 0) for entry in arguments]
    indexes = [index for index, *_ in compares]
    if len(set(indexes)) == len(indexes):
        made.add(name, action, compares)
        return
    # libseccomp takes one comparison per argument; more than one are alternatives, as runc reads them.
    for compare in compares:
        made.add(name, action, [compare])
