"""Quantities with units: decimal and binary prefixes, bits and bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.diagnostics import ArchspecError
from archspec.spec.quantities import parse_byte_rate, parse_bytes, parse_flop_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50GB/s", 50_000_000_000),
        ("50 GB/s", 50_000_000_000),
        ("25GiB/s", 25 * 2**30),
        ("400Gb/s", 50_000_000_000),
        ("400Gbit/s", 50_000_000_000),
        ("100Gbps", 12_500_000_000),
        ("1GBps", 1_000_000_000),
        ("192.4 GB/s", 192_400_000_000),
        ("3.35 TB/s", 3_350_000_000_000),
        ("8Kib/s", 1024),
        ("900kB/s", 900_000),
        ("900KB/s", 900_000),
        ("12B/s", 12),
    ],
)
def test_bandwidths(text: str, rate: int) -> None:
    assert parse_byte_rate(text) == rate


def test_bytes_and_operations() -> None:
    assert parse_bytes("16GiB") == 16 * 2**30
    assert parse_bytes("80 GB") == 80 * 10**9
    assert parse_flop_rate("989.4 TFLOP/s") == 989_400_000_000_000
    assert parse_flop_rate("19.5TFLOPS") == 19_500_000_000_000


BAD = (
    "|50|GB/s|50gb/s|50G|-3GB/s|0GB/s|1e9B/s|50GB/h|4b|5 0GB/s|1,5GB/s|0.1b/s|50GB/s/s|"
    f"\u0665GB/s|50GB/s\nx|{10**21}GB/s"
).split("|")


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_bandwidth_is_told_what_one_looks_like(text: str) -> None:
    with pytest.raises(ArchspecError, match="such as 50GB/s, 25GiB/s or, in bits, 400Gb/s"):
        parse_byte_rate(text)


def test_units_are_not_mixed() -> None:
    for parse, text in ((parse_bytes, "16GB/s"), (parse_bytes, "16Gb"), (parse_flop_rate, "16GB")):
        with pytest.raises(ArchspecError):
            parse(text)


@given(st.integers(1, 10**12), st.sampled_from(["", "k", "M", "G", "T"]))
def test_bits_are_an_eighth_of_bytes(number: int, prefix: str) -> None:
    assert parse_byte_rate(f"{8 * number}{prefix}b/s") == parse_byte_rate(f"{number}{prefix}B/s")


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_an_error_of_ours(text: str) -> None:
    for parse in (parse_bytes, parse_byte_rate, parse_flop_rate):
        with suppress(ArchspecError):
            assert parse(text) >= 1
