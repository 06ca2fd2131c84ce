"""`image explore`: what each layer adds, changes and removes, and how many bytes are wasted."""

from __future__ import annotations

from collections import defaultdict

from msgspec import Struct

from .contents import LayerContents


class LayerReport(Struct, frozen=True):
    """One layer in numbers; paths are counted, sizes in bytes."""

    digest: str
    command: str
    size: int
    added: int
    changed: int
    removed: int


class WastedPath(Struct, frozen=True):
    """A path of which only the last of `count` versions is seen; `bytes` are those of the others."""

    path: str
    count: int
    bytes: int


class Report(Struct, frozen=True):
    """`efficiency` is the share of bytes that the topmost view still shows."""

    layers: list[LayerReport]
    size: int
    wasted: int
    efficiency: float
    wasted_paths: list[WastedPath]


def explore(layers: list[LayerContents]) -> Report:
    """Compare every layer with what lies below it."""
    view: dict[str, int] = {}
    lost: dict[str, list[int]] = defaultdict(list)
    reports = [_step(layer, view, lost) for layer in layers]
    wasted_paths = [WastedPath(path, len(sizes) + (path in view), sum(sizes)) for path, sizes in lost.items()]
    wasted_paths.sort(key=lambda entry: (-entry.bytes, entry.path))
    size, wasted = sum(layer.size for layer in layers), sum(entry.bytes for entry in wasted_paths)
    return Report(reports, size, wasted, 1 - wasted / size if size else 1.0, wasted_paths)


def _step(layer: LayerContents, view: dict[str, int], lost: dict[str, list[int]]) -> LayerReport:
    removed = 0
    for path in layer.removed:
        removed += _hide(view, lost, path, itself=True)
    for directory in layer.opaque:
        removed += _hide(view, lost, directory, itself=False)
    added = changed = 0
    for entry in layer.entries:
        if entry.path in view:
            if entry.kind == "directory":
                continue
            changed += 1
            lost[entry.path].append(view[entry.path])
        else:
            added += 1
        view[entry.path] = entry.size
    return LayerReport(layer.name, layer.created_by, layer.size, added, changed, removed)


def _hide(view: dict[str, int], lost: dict[str, list[int]], path: str, *, itself: bool) -> int:
    hidden = [name for name in view if name.startswith(f"{path}/")]
    if itself and path in view:
        hidden.append(path)
    for name in hidden:
        lost[name].append(view.pop(name))
    return len(hidden)


def failures(report: Report, lowest_efficiency: float, highest_wasted: int, highest_share: float) -> list[str]:
    """What `--ci` complains about: thresholds that the image does not keep."""
    share = report.wasted / report.size if report.size else 0.0
    found = []
    if report.efficiency < lowest_efficiency:
        found.append(f"efficiency {report.efficiency:.4f} is below {lowest_efficiency}")
    if highest_wasted and report.wasted > highest_wasted:
        found.append(f"{report.wasted} wasted bytes are more than {highest_wasted}")
    if share > highest_share:
        found.append(f"wasted share {share:.4f} is above {highest_share}")
    return found
