"""Measure everything, print it, and write `benchmarks/RESULTS.md`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from benchmarks import analysis, data, layers, tasks, training, zoo

COLD = """\
The cold target of 10 is not met. Half of the command's time is the import of the four libraries
that it is built on (the second row: what they alone would leave), most of the rest the modules of
the language, the classes that Pydantic prepares at import, and 109 rules. Tried: fewer garbage
collections at start-up (5 % less time, kept), fixed column widths instead of Rich's tables (kept),
commands imported one by one (kept), json, csv, hashlib and difflib imported where they are needed
(kept), annotations that are not strings (no difference), Pydantic without plug-ins (no difference).

The warm targets (10 times FlopCounterMode, 50 ms for the largest network) are missed by more than
before `analyze()` also compared 47 figures of claims with AlexNet, looked for 109 kinds of mistakes
and followed the spread of the initial weights through the network: four fifths of a warm call.
"""
RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = (
    "torch", "tensorflow", "keras", "torchinfo", "pydantic", "typer", "rich", "numpy", "pillow",
    "grain", "array-record",
)  # fmt: skip
HEAD = "| what | archspec | peer | ratio | target |\n|---|---:|---:|---:|---:|"


def main() -> None:
    """Run all parts in this one process, so that every ratio stems from one run."""
    print(HEAD)
    table = []
    for part in (analysis, layers, data, training):
        for row in part.rows():
            line = row.markdown()
            print(line, flush=True)
            table.append(line)
    text = "\n".join([*_about(), HEAD, *table, "", COLD, *tasks.text(), *zoo.table()])
    RESULTS.write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"\nwritten to {RESULTS}")


def _about() -> list[str]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return [
        "# Results of `make bench`",
        "",
        "Each row compares archspec with a named peer, the two in turn in one run; times are "
        "medians, and the ratio is the median of the rounds' ratios: how many times faster (or "
        'smaller) archspec is. A target of 0.77 is "within 1.3 times".',
        "",
        f"- machine: {_processor()}, {os.cpu_count()} processors, {_memory()}, {_accelerator()}",
        f"- {platform.system()} {platform.machine()}, Python {platform.python_version()}; "
        f"{versions}",
        "- command: `make bench`",
        "",
    ]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 2**30:.0f} GiB"


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU visible"


main()
