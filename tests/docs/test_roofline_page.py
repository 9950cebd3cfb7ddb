"""The page about roofline and scaling: its table of devices and its keys of the JSON document."""

from __future__ import annotations

import re
from pathlib import Path

import archspec
from archspec.analysis.devices import DTYPES, Device, find_device, shipped_devices
from archspec.analysis.roofline import roofline
from archspec.analysis.scaling import scaling

PAGE = (Path(__file__).parents[2] / "docs" / "roofline.md").read_text("utf-8")


def _row(device: Device) -> str:
    rates = [f"{device.peak[d] / 1e12:g}" if d in device.peak else "" for d in DTYPES]
    memory = ""
    if device.memory is not None:
        binary = device.memory % 10**9 != 0
        memory = f"{device.memory / (2**30 if binary else 10**9):g} {'GiB' if binary else 'GB'}"
    cells = [f"`{device.name}`", *rates, f"{device.bandwidth / 1e9:g} GB/s", memory, device.source]
    return f"| {' | '.join(cells)} |"


def test_every_shipped_device_is_on_the_page_with_its_figures() -> None:
    rows = [line for line in PAGE.splitlines() if line.endswith(" |") and "GB/s |" in line]
    assert rows == [_row(device) for device in shipped_devices().values()]


def test_every_key_of_the_document_is_on_the_page() -> None:
    sections = dict(re.findall(r"^### (\S.*)\n((?:.*\n)*?)(?=^#|\Z)", PAGE, re.MULTILINE))
    keys = {name: re.findall(r"^\| `(\w+)` \|", text, re.M) for name, text in sections.items()}
    analysis = archspec.analyze("alexnet", batch=2)
    one = roofline(analysis, find_device())
    many = scaling(analysis, one, 2, 10**9)
    document, plans = one.to_json(), many.to_json()
    step = document["training_step"]
    assert keys == {
        "roofline": list(document),
        "a pass": list(document["layers"][0]["forward"]),
        "scaling": list(plans),
        "a plan": list(plans["data_parallel"]),
    }
    for inside in (
        *document["device"],
        *step,
        *document["layers"][0],
        *document["layers"][0]["training"],
        *plans["one_device"],
        *plans["dense_layers"][0],
        *plans["data_parallel"]["serial"],
    ):
        assert f"`{inside}`" in PAGE
