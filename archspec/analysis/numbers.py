"""Numbers as people read them."""

from __future__ import annotations

_COUNTS = ("", " k", " M", " G", " T")
_BYTES = (" B", " KiB", " MiB", " GiB", " TiB")


def short_count(value: int) -> str:
    """61.0 M: three digits and a decimal prefix."""
    scaled, power = float(value), 0
    # 999.5 is where three digits round up to 1000.
    while scaled >= 999.5 and power < len(_COUNTS) - 1:
        scaled, power = scaled / 1000, power + 1
    if power == 0:
        return str(value)
    digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    return f"{scaled:.{digits}f}{_COUNTS[power]}"


def counted(count: int, noun: str) -> str:
    """1 epoch, 2,000 epochs: a number of things whose plural ends in s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def percent(share: float) -> str:
    """50%, 0.1%, 99.95%: a share that is given, with the digits that it has."""
    return f"{100 * share:.6g}%"


def short_bytes(value: int) -> str:
    """232.6 MiB."""
    scaled, power = float(value), 0
    while scaled >= 1023.95 and power < len(_BYTES) - 1:
        scaled, power = scaled / 1024, power + 1
    return f"{scaled:.1f}{_BYTES[power]}" if power else f"{value} B"


def short_seconds(value: float) -> str:
    """12.3 µs: three digits, from nanoseconds to seconds."""
    scaled, unit = value, "s"
    for factor, smaller in ((1e3, "ms"), (1e6, "µs"), (1e9, "ns")):
        if scaled >= 0.9995:
            break
        scaled, unit = value * factor, smaller
    digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    return f"{scaled:,.{digits}f} {unit}"


def duration(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour; 6d 23h from a day on, 120d from a hundred on."""
    whole = max(int(seconds), 0)
    days = whole // 86_400
    if days:
        return f"{days}d {whole // 3600 % 24:02}h" if days < 100 else f"{days:,}d"
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """Text of a spec for a terminal or a page: one line, no control characters."""
    joined = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in joined)
