"""Figures as a table, as JSON and as a plot."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One scenario's outcome: figures by engine, and the ratio of ours to `peer`."""

    name: str
    unit: str
    target: float | None
    peer: str
    figures: dict[str, float]
    limit: float | None = None

    @property
    def ratio(self) -> float:
        return self.figures["sampan"] / self.figures[self.peer]

    @property
    def met(self) -> bool:
        within = self.limit is None or self.figures["sampan"] <= self.limit
        return within and (self.target is None or self.ratio <= self.target)


HEADINGS = ("SCENARIO", "UNIT", "SAMPAN", "DOCKERD", "PODMAN", "RATIO", "TARGET", "")


def table(rows: list[Row]) -> str:
    """Aligned columns, a line a scenario."""
    lines = [HEADINGS] + [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    def figure(name: str) -> str:
        return f"{row.figures[name]:.4g}" if name in row.figures else "-"

    peer = figure(row.peer) if row.peer != "dockerd" else figure("dockerd")
    target = f"{row.target:.3f}" if row.target is not None else "-"
    target += f", {row.limit:g} {row.unit}" if row.limit is not None else ""
    verdict = "met" if row.met else "MISSED"
    return (row.name, row.unit, figure("sampan"), peer, figure("podman"), f"{row.ratio:.3f}", target, verdict)


def write_json(rows: list[Row], path: Path) -> None:
    document = {
        "kernel": platform.release(),
        "scenarios": [
            {"name": row.name, "unit": row.unit, "figures": row.figures, "peer": row.peer, "ratio": row.ratio,
             "target": row.target} for row in rows
        ],
    }  # fmt: skip
    path.write_text(json.dumps(document, indent=2) + "\n")


def write_svg(rows: list[Row], path: Path) -> None:
    """A bar a scenario: our figure as a share of the peer's, with a tick where the target lies."""
    left, width, step = 290, 420, 26
    height = step * len(rows) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<text x="{left}" y="18">share of the peer\'s figure (1.0 = as the peer; shorter is better)</text>',
    ]
    for number, row in enumerate(rows):
        top = 30 + number * step
        length = min(row.ratio, 1.5) / 1.5 * width
        colour = "#2a7" if row.met else "#c52"
        parts.append(f'<text x="{left - 8}" y="{top + 14}" text-anchor="end">{escape(row.name)}</text>')
        parts.append(f'<rect x="{left}" y="{top}" width="{length:.1f}" height="18" fill="{colour}"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{top + 14}">{row.ratio:.2f}</text>')
        if row.target is not None:
            x = left + min(row.target, 1.5) / 1.5 * width
            parts.append(f'<line x1="{x:.1f}" y1="{top - 3}" x2="{x:.1f}" y2="{top + 21}" stroke="#000"/>')
    parts.append("</svg>\n")
    path.write_text("\n".join(parts))
