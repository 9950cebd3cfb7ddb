"""Numbers as people read them."""

from __future__ import annotations

import pytest

from archspec.analysis.numbers import (
    counted,
    duration,
    printable,
    short_bytes,
    short_count,
    short_seconds,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9994, "9.99 k"),
        (9996, "10.0 k"),
        (60_965_224, "61.0 M"),
        (99_960_000, "100 M"),
        (724_406_816, "724 M"),
        (999_499_999, "999 M"),
        (999_999_999, "1.00 G"),
        (1_135_256_096, "1.14 G"),
        (5 * 10**16, "50000 T"),
    ],
)
def test_counts(value: int, text: str) -> None:
    assert short_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (243_860_896, "232.6 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_bytes(value: int, text: str) -> None:
    assert short_bytes(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (123.9, "2:03"),
        (3723, "1:02:03"),
        (-1, "0:00"),
        (86_399, "23:59:59"),
        (86_400, "1d 00h"),
        (604_799, "6d 23h"),
        (8_640_000, "100d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 ns"),
        (9.78e-9, "9.78 ns"),
        (999.4e-9, "999 ns"),
        (999.6e-9, "1.00 µs"),
        (45.09e-6, "45.1 µs"),
        (3.216e-3, "3.22 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
        (4321.9, "4,322 s"),
    ],
)
def test_short_times(seconds: float, text: str) -> None:
    assert short_seconds(seconds) == text


def test_text_is_made_printable() -> None:
    assert printable("a\n b\t\x1b[31m\u202e\u00e9") == "a b ?[31m?\u00e9"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (2000, "2,000 epochs")]
)
def test_counts_of_things(count: int, text: str) -> None:
    assert counted(count, "epoch") == text
