"""Progress on a terminal and elsewhere, and the arithmetic of `stats` and `system df`."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from sampan.cli import disk_usage, stats
from sampan.cli.command import CommandFailed
from sampan.cli.container_list import display_ports
from sampan.cli.progress import display


class Screen(io.StringIO):
    """A terminal that understands what the display sends: up, down, clear line, carriage return, line break."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        rows, row = [""], 0
        for code, kind, character in re.findall(r"\x1b\[(\d*)([ABK])|([^\x1b])", self.getvalue()):
            if kind == "K":
                rows[row] = ""
            elif kind:
                row += int(code) if kind == "B" else -int(code)
            elif character == "\n":
                row += 1
            elif character != "\r":
                rows[row] += character
            rows += [""] * (row + 1 - len(rows))
        return [line.rstrip() for line in rows]


def layer(identity: str, status: str, current: int = 0, total: int = 0) -> Any:
    return {"id": identity, "status": status, "progressDetail": {"current": current, "total": total} if total else {}}


MESSAGES = [
    {"id": "latest", "status": "Pulling from library/x"},
    layer("a", "Pulling fs layer"),
    layer("b", "Pulling fs layer"),
    layer("a", "Downloading", 500_000, 1_000_000),
    layer("b", "Downloading", 1, 2),
    layer("a", "Pull complete"),
    layer("b", "Pull complete"),
    {"status": "Digest: sha256:d"},
]


def test_on_a_terminal_layers_keep_their_lines() -> None:
    out = Screen()
    display(MESSAGES[:5], out)
    shown = out.lines()
    assert shown[0] == "latest: Pulling from library/x"
    assert shown[1].startswith("a: Downloading    500kB/1MB")
    assert shown[2].startswith("b: Downloading       1B/2B")
    out = Screen()
    display(MESSAGES, out)
    assert out.lines()[:4] == [
        "latest: Pulling from library/x",
        "a: Pull complete",
        "b: Pull complete",
        "Digest: sha256:d",
    ]


def test_elsewhere_every_step_is_a_line_without_bars() -> None:
    out = io.StringIO()
    display(MESSAGES, out)
    assert out.getvalue().splitlines() == [
        "latest: Pulling from library/x",
        "a: Pulling fs layer",
        "b: Pulling fs layer",
        "a: Pull complete",
        "b: Pull complete",
        "Digest: sha256:d",
    ]


def test_errors_end_the_command_even_when_quiet() -> None:
    failed: Any = {"errorDetail": {"code": 3, "message": "the command returned 3"}, "error": "x"}
    with pytest.raises(CommandFailed, match="the command returned 3") as caught:
        display([failed], None)
    assert caught.value.status == 3
    found: list[Any] = []
    display([{"aux": {"ID": "sha256:1"}}, {"stream": "Step 1\n"}], None, found.append)
    assert found == [{"ID": "sha256:1"}]


def test_stats_arithmetic() -> None:
    cpu = {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2}
    before = {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000}
    assert stats.cpu_percent({"cpu_stats": cpu, "precpu_stats": before}) == 40.0
    assert stats.cpu_percent({"cpu_stats": cpu, "precpu_stats": cpu}) == 0.0
    assert stats.memory_used({"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 10}}) == 70
    assert stats.memory_used({"usage": 100, "stats": {"inactive_file": 10}}) == 90
    assert stats.memory_used({}) == 0
    operations = [{"op": "Read", "value": 3}, {"op": "write", "value": 4}, {"op": "Total", "value": 7}]
    assert stats.block_bytes({"blkio_stats": {"io_service_bytes_recursive": operations}}) == (3, 4)
    assert stats.network_bytes(
        {"networks": {"a": {"rx_bytes": 1, "tx_bytes": 2}, "b": {"rx_bytes": 3, "tx_bytes": 4}}}
    ) == (4, 6)


def test_disk_usage_arithmetic() -> None:
    images = [{"Size": 100, "SharedSize": 20, "Containers": 1}, {"Size": 50, "SharedSize": 20, "Containers": 0}]
    volumes = [{"UsageData": {"Size": 7, "RefCount": 0}}, {"UsageData": {"Size": 5, "RefCount": 1}}]
    containers = [{"SizeRw": 4, "State": "running"}, {"SizeRw": 6, "State": "exited"}]
    rows = disk_usage.rows({"LayersSize": 130, "Images": images, "Volumes": volumes, "Containers": containers})
    assert [(row["Total"], row["Active"], row["Size"], row["Reclaimable"]) for row in rows] == [
        (2, 1, 130, 50),
        (2, 1, 10, 6),
        (2, 1, 12, 7),
        (0, 0, 0, 0),
    ]


def test_neighbouring_ports_become_ranges() -> None:
    def port(private: int, public: int = 0, ip: str = "", kind: str = "tcp") -> Any:
        return {"PrivatePort": private, "PublicPort": public, "IP": ip, "Type": kind}

    assert display_ports([port(81), port(80), port(90, kind="udp")]) == "80-81/tcp, 90/udp"
    both = [port(80, 8080, ip) for ip in ("0.0.0.0", "::")]
    assert display_ports(both) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    same = [port(number, number, "0.0.0.0") for number in (9000, 9001)]
    assert display_ports(same) == "0.0.0.0:9000-9001->9000-9001/tcp"
