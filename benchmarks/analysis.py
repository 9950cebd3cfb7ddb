"""`archspec analyze` against torchinfo, and a warm `analyze()` against torch's FLOP counter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import archspec
from archspec import catalog
from benchmarks import networks
from benchmarks.measure import Row, environment, in_turn, milliseconds, process

SPEC = Path(__file__).parents[1] / "specs" / "alexnet.yaml"
ROUNDS = 9

# What the command cannot do without: its own share is what it takes beyond these.
LIBRARIES = """
import typer, yaml
from pydantic import BaseModel, BeforeValidator, Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
"""

WARM = """
import statistics, time
import archspec

def seconds():
    start = time.perf_counter()
    archspec.analyze("{name}")
    return time.perf_counter() - start

for _ in range(3):
    seconds()
print(statistics.median(seconds() for _ in range(30)))
"""


def rows() -> Iterator[Row]:
    """Cold start, memory, and the warm call."""
    yield from cold()
    yield warm()
    yield from zoo()
    yield from sizes()


def cold() -> Iterator[Row]:
    """Whole processes: the command, and a script that prints torchinfo's summary."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "summary.py"
        script.write_text(
            archspec.emit("alexnet", backend="torch").split("def main()")[0]
            + "import torchinfo\n\ntorchinfo.summary(AlexNet(), input_size=(1, 3, 227, 227))\n"
        )
        ours = [sys.executable, "-m", "archspec", "analyze", str(SPEC)]
        peer = [sys.executable, str(script)]
        alone = [sys.executable, "-c", LIBRARIES]
        process(ours), process(peer), process(alone)
        pairs = [(process(ours), process(peer), process(alone)) for _ in range(ROUNDS)]
    seconds = [statistics.median(pair[i].seconds for pair in pairs) for i in (0, 1, 2)]
    memory = [statistics.median(pair[i].peak_mib for pair in pairs) for i in (0, 1)]
    yield Row(
        "`archspec analyze specs/alexnet.yaml`, cold, against torchinfo",
        milliseconds(seconds[0]),
        milliseconds(seconds[1]),
        statistics.median(b.seconds / a.seconds for a, b, _ in pairs),
        "10",
    )
    yield Row(
        "importing pydantic, typer, rich and PyYAML and nothing else, cold, against torchinfo",
        milliseconds(seconds[2]),
        milliseconds(seconds[1]),
        statistics.median(b.seconds / c.seconds for _, b, c in pairs),
        "",
    )
    yield Row(
        "`archspec analyze`, peak memory, against torchinfo",
        f"{memory[0]:.0f} MiB",
        f"{memory[1]:.0f} MiB",
        statistics.median(b.peak_mib / a.peak_mib for a, b, _ in pairs),
        "10",
    )


def zoo() -> Iterator[Row]:
    """The largest network of the zoo from its file, warm; and the whole zoo in one command."""
    largest = max(catalog.shipped(), key=lambda name: len(archspec.load(name).nodes))
    layers = len(archspec.load(largest).nodes)
    # In a process of its own: Python's garbage collector would walk through PyTorch here.
    run = subprocess.run(
        [sys.executable, "-c", WARM.format(name=largest)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    seconds = float(run.stdout)
    # The goals are times, so the ratio is how far below the goal they are.
    yield Row(
        f"`analyze()` of {largest} ({layers} layers) from its file, warm, against 50 ms",
        milliseconds(seconds),
        "50 ms",
        0.05 / seconds,
        "1",
    )
    command = [sys.executable, "-m", "archspec", "check", *catalog.shipped()]
    process(command, status=1)
    whole = statistics.median(process(command, status=1).seconds for _ in range(5))
    yield Row(
        f"`archspec check` of all {len(catalog.shipped())} shipped specs, cold, against 3 s",
        milliseconds(whole),
        "3 s",
        3 / whole,
        "1",
    )


def sizes() -> Iterator[Row]:
    """Networks of 1,000 and 10,000 layers, cold, in turn: how long, and how it grows.

    The goals are 2 s and 12 times the time, so the ratio is how far below the goal it is.
    """
    small, large = 1_000, 10_000
    with tempfile.TemporaryDirectory() as folder:
        for kind, write in networks.KINDS.items():
            files = {}
            for count in (small, large):
                files[count] = Path(folder) / f"{write.__name__}{count}.yaml"
                files[count].write_text(write(count), encoding="utf-8")
                assert len(archspec.load(files[count]).nodes) == count
            for format in ("table", "json"):
                command = [sys.executable, "-m", "archspec", "analyze", "--format", format]
                process([*command, str(files[small])])
                runs = [
                    [process([*command, str(files[count])]) for count in (small, large)]
                    for _ in range(5)
                ]
                seconds, cpu = (
                    [statistics.median(getattr(pair[i], key) for pair in runs) for i in (0, 1)]
                    for key in ("seconds", "cpu")
                )
                what = f"`archspec analyze --format {format}` of {kind} of {large:,} layers, cold"
                took = f"{milliseconds(seconds[1])} (CPU {milliseconds(cpu[1])})"
                yield Row(f"{what}, against 2 s", took, "2 s", 2 / seconds[1], "1")
                yield Row(
                    f"{what}, against 12 times {small:,} layers",
                    took,
                    milliseconds(12 * seconds[0]),
                    statistics.median(12 * a.seconds / b.seconds for a, b in runs),
                    "1",
                )


def warm() -> Row:
    """A loaded network, against `FlopCounterMode` on the meta device, which needs no weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    net = archspec.load(SPEC)
    with torch.device("meta"):
        model = archspec.build(net, backend="torch")
        image = torch.empty(1, 3, 227, 227)

    def count() -> int:
        with FlopCounterMode(display=False) as counter:
            model(image)
        return counter.get_total_flops()

    assert count() == 2 * archspec.analyze(net).totals.macs
    ours, peer, ratio = in_turn(lambda: archspec.analyze(net), count, rounds=100, warmup=5)
    return Row(
        "`analyze()` of a loaded AlexNet, warm, against torch's FlopCounterMode on meta",
        milliseconds(ours),
        milliseconds(peer),
        ratio,
        "10",
    )
