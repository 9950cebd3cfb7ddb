"""Every network of the zoo compared in all backends at full size, one process each.

`python -m benchmarks.zoo [NAME...]` takes an hour or two. What is measured stands in `zoo.csv`,
from which `RESULTS.md` has its table; networks that are there already are skipped.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import archspec

FOLDER = Path(__file__).parent
RECORD = FOLDER / "zoo.csv"
PUBLISHED = FOLDER.parent / "tests" / "data" / "zoo.json"
FIELDS = ("network", "input", "gmacs", "batch", "seconds", "gib", "outputs", "gradients", "equal")

TITLE = """\
## The zoo at full size

Outputs of every layer against the NumPy reference and gradients of every parameter between PyTorch
and Keras on TensorFlow, float64, one thread: the largest relative error of each network, with the
time and the memory of the process. The times are no benchmark: other work ran on the machine.
`python -m benchmarks.zoo` measures, `make test-all` tests.
"""
HEAD = (
    "| network | input | GMACs | batch | time | memory | outputs | gradients |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|"
)


def networks() -> dict[str, int]:
    """The networks with published totals and their multiply-accumulates, the small ones first."""
    rows = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    macs = {name: row["exact_macs"] for name, row in rows.items() if not name.startswith("_")}
    return dict(sorted(macs.items(), key=lambda item: item[1]))


def batch_of(name: str) -> int:
    """One image, but two where batch normalisation sees a single position of each."""
    return 2 if name.startswith("inception") else 1


def measure(name: str, macs: int) -> dict[str, str]:
    """Verify one network in a process of its own. Raises RuntimeError when that fails."""
    batch = batch_of(name)
    command = [sys.executable, "-m", "archspec", "verify", name, "--format", "json"]
    command += ["--batch", str(batch)]
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    start = time.perf_counter()
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **threads, "TF_NUM_INTEROP_THREADS": "1"},
    )
    assert child.stdout is not None
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if not text:
        raise RuntimeError(f"{name} ended with {child.returncode}")
    found = json.loads(text)
    worst = {
        part: max((error["relative"] for error in found[part]), default=0.0)
        for part in ("outputs", "gradients")
    }
    return {
        "network": name,
        "input": " x ".join(map(str, archspec.load(name).input_shape)),
        "gmacs": f"{macs / 1e9:.2f}",
        "batch": str(batch),
        "seconds": f"{time.perf_counter() - start:.0f}",
        "gib": f"{usage.ru_maxrss / 2**20:.1f}",
        "outputs": f"{worst['outputs']:.1e}",
        "gradients": f"{worst['gradients']:.1e}",
        "equal": str(found["equal"]).lower(),
    }


def recorded() -> list[dict[str, str]]:
    """What was measured before."""
    if not RECORD.exists():
        return []
    with RECORD.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def table() -> Iterator[str]:
    """The section of `RESULTS.md`."""
    rows = recorded()
    if not rows:
        return
    yield TITLE
    yield HEAD
    for row in rows:
        errors = f"{row['outputs']} | {row['gradients']}"
        verdict = "" if row["equal"] == "true" else " **different**"
        yield (
            f"| {row['network']} | {row['input']} | {row['gmacs']} | {row['batch']} | "
            f"{row['seconds']} s | {row['gib']} GiB | {errors}{verdict} |"
        )
    done = {row["network"] for row in rows}
    missing = [name for name in networks() if name not in done]
    if missing:
        yield f"\nNot measured: {', '.join(missing)}."


def main(names: list[str]) -> None:
    """Measure the networks that are not recorded yet, and record each at once."""
    done = {row["network"] for row in recorded()}
    for name, macs in networks().items():
        if name in done or (names and name not in names):
            continue
        try:
            row = measure(name, macs)
        except RuntimeError as error:  # out of memory, most likely: the others can go on
            print(error, flush=True)
            continue
        new = not RECORD.exists()
        with RECORD.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, FIELDS)
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(", ".join(row.values()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
