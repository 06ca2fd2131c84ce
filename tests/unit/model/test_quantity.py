"""Sizes, CPUs, durations and ages in Go's and go-units' words."""

from __future__ import annotations

import pytest

from sampan.model import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("1024", 1024), ("512m", 512 << 20), ("1.5GiB", 3 << 29), ("1kb", 1024), ("2T", 2 << 40), ("7 b", 7)],
)
def test_sizes(text: str, value: int) -> None:
    assert quantity.parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "m", "1x", "1.2.3k", "k1", "-5"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid (size|suffix)"):
        quantity.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1h30m", 5400 * 10**9), ("1.5s", 1_500_000_000), ("300ms", 300_000_000), ("0", 0), ("-2s", -2 * 10**9)],
)
def test_durations(text: str, value: int) -> None:
    assert quantity.parse_duration(text) == value
    assert quantity.parse_duration(quantity.go_duration(value)) == value


@pytest.mark.parametrize("text", ["", "5", "x", "1y", "..s", "s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="time: "):
        quantity.parse_duration(text)


def test_cpus() -> None:
    assert quantity.parse_cpus("1.5") == 1_500_000_000
    assert quantity.parse_cpus(".25") == 250_000_000
    with pytest.raises(ValueError, match="failed to parse a as a rational number"):
        quantity.parse_cpus("a")
    with pytest.raises(ValueError, match="too precise"):
        quantity.parse_cpus("0.0000000001")


def test_printed_sizes() -> None:
    assert [quantity.human_size3(n) for n in (0, 999, 1984070, 682700, 198900000)] == [
        "0B",
        "999B",
        "1.98MB",
        "683kB",
        "199MB",
    ]
    assert quantity.human_size(198900000) == "198.9MB"
    assert quantity.bytes_size(25276514304) == "23.54GiB"
    assert quantity.bytes_size(524288) == "512KiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (121, "2 minutes"),
        (59 * 60, "59 minutes"),
        (89 * 60, "About an hour"),
        (7200, "2 hours"),
        (3 * 86400, "3 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert quantity.human_duration(seconds) == text


@pytest.mark.parametrize("text", ["9" * 400, "1" + "0" * 20, "9000p"])
def test_numbers_that_no_go_program_can_hold(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        quantity.parse_bytes(text)
    with pytest.raises(ValueError, match=r"out of range|unit"):
        quantity.parse_duration(f"{text}h")
