"""Why a step was not taken from the cache: its inputs now against those of its last run."""

from __future__ import annotations

from collections.abc import Mapping

from .graph import Vertex

_SHOWN = 20


def differences(before: Mapping[str, str] | None, now: Mapping[str, str], vertex: Vertex) -> tuple[str, ...]:
    """One line for each input that differs, the most telling first; at most 20 files are named."""
    if vertex.ignore_cache:
        return ("the cache is switched off for this step",)
    if before is None:
        return ("the step has not run before",)
    reasons: list[str] = []
    if before.get("parent") != now.get("parent"):
        reasons.append("the step before it gave another result")
    files = []
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name) or name == "parent":
            continue
        kind, _, rest = name.partition(":")
        if kind == "file":
            files.append(_file(rest, before, now))
        elif kind == "env":
            reasons.append(_variable(rest, before.get(name), now.get(name)))
        elif kind == "instruction":
            reasons.append("the instruction itself changed")
        elif kind == "surroundings":
            reasons.append("hosts, ulimits, the size of /dev/shm or the control group changed")
        elif kind == "SOURCE_DATE_EPOCH":
            reasons.append("SOURCE_DATE_EPOCH changed")
    shown = files[:_SHOWN]
    if len(files) > _SHOWN:
        shown.append(f"and {len(files) - _SHOWN} more files")
    return tuple(dict.fromkeys(reasons + shown)) or ("its record was removed or its layers are gone",)


def _file(path: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    if f"file:{path}" not in before:
        return f"file added: {path}"
    return f"file removed: {path}" if f"file:{path}" not in now else f"file changed: {path}"


def _variable(name: str, before: str | None, now: str | None) -> str:
    if before is None:
        return f"variable added: {name}"
    return f"variable removed: {name}" if now is None else f"variable changed: {name}"
