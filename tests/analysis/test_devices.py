"""The shipped figures of devices, and files that add others."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.analysis.devices import (
    BYTES_PER_ELEMENT,
    DEFAULT,
    DTYPES,
    Device,
    find_device,
    parse_dtype,
    read_devices,
    shipped_devices,
)
from archspec.diagnostics import ArchspecError

MINE = """\
devices:
  - name: mine
    peak: {float32: 10 TFLOP/s, bfloat16: 80 TFLOP/s}
    bandwidth: 500 GB/s
    source: its data sheet
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "devices.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _refusal(folder: Path, text: str) -> str:
    with pytest.raises(ArchspecError) as error:
        read_devices(_file(folder, text))
    return str(error.value).replace(str(folder) + "/", "")


@pytest.mark.parametrize("device", shipped_devices().values(), ids=lambda device: device.name)
def test_shipped_figures_make_sense(device: Device) -> None:
    """What holds of every device: reduced precision is no slower, and a source is named."""
    assert device.peak_of("float32") > 10**12
    order = [device.peak[dtype] for dtype in DTYPES if dtype in device.peak]
    assert order == sorted(order) or device.peak["float64"] == device.peak["float32"]
    assert 10 * 10**9 < device.bandwidth < 10 * 10**12
    assert device.memory is None or 10**9 < device.memory < 10**12
    assert device.source.split(",")[0] in {"NVIDIA", "AMD", "Intel", "Apple"}


def test_figures_that_data_sheets_print() -> None:
    def figures(name: str) -> tuple[float, float]:
        device = shipped_devices()[name]
        return max(device.peak.values()) / 1e12, device.bandwidth / 1e9

    assert figures("gtx-580-3gb") == (1.581, 192.4)
    assert figures("v100-sxm2") == (125, 900)
    assert figures("a100-80gb") == (312, 2039)
    assert figures("h100-sxm") == (989.4, 3350)
    assert figures("mi300x") == (1307.4, 5300)


@pytest.mark.parametrize(
    ("name", "cores", "hertz", "each", "dtype"),
    [
        ("gtx-580-3gb", 512, 1544 * 10**6, 2, "float32"),
        ("xeon-8480", 56, 2 * 10**9, 64, "float32"),
        ("xeon-8480", 56, 2 * 10**9, 1024, "bfloat16"),
        ("epyc-9654", 96, 24 * 10**8, 32, "float32"),
    ],
)
def test_peaks_that_are_worked_out(
    name: str, cores: int, hertz: int, each: int, dtype: str
) -> None:
    """What no data sheet prints is units x clock x operations, as the notes say."""
    device = shipped_devices()[name]
    assert device.peak_of(parse_dtype(dtype)) == pytest.approx(cores * hertz * each, rel=1e-4)
    assert device.note is not None


def test_a_file_adds_devices_and_replaces_them(tmp_path: Path) -> None:
    mine = find_device("mine", _file(tmp_path, MINE))
    assert (mine.title, mine.memory, mine.bandwidth) == ("mine", None, 500 * 10**9)
    assert mine.peak == {"float32": 10**13, "bfloat16": 8 * 10**13}
    assert find_device(None, _file(tmp_path, MINE)) == mine
    assert find_device("t4", _file(tmp_path, MINE)).name == "t4"
    other = _file(tmp_path, MINE.replace("name: mine", "name: t4"))
    assert find_device("t4", other).bandwidth == 500 * 10**9


def test_without_a_name_it_is_the_default_one(tmp_path: Path) -> None:
    assert find_device().name == DEFAULT
    two = MINE + MINE.removeprefix("devices:\n").replace("mine", "other")
    with pytest.raises(ArchspecError, match=r"has `mine`, `other`: choose one with --device"):
        find_device(None, _file(tmp_path, two))


@pytest.mark.parametrize("name", ["RTX-4090", "rtx 4090", "Rtx-4090"])
def test_names_are_read_as_people_write_them(name: str) -> None:
    assert find_device(name).name == "rtx-4090"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("h100", "did you mean `h100-sxm`?"),
        ("a100", "did you mean `a100-40gb`, `a100-80gb`, `a100-80gb-pcie`?"),
        ("rtx4090", "did you mean `rtx-4090`?"),
        ("abacus", "known are gtx-580-3gb, k80"),
        ("", "there is no device ``"),
    ],
)
def test_an_unknown_device(name: str, said: str) -> None:
    with pytest.raises(ArchspecError) as error:
        find_device(name)
    assert said in str(error.value)
    assert "--device-file adds others" in str(error.value)


def test_precisions() -> None:
    assert parse_dtype(None) == "float32"
    assert [parse_dtype(dtype) for dtype in DTYPES] == list(DTYPES) == list(BYTES_PER_ELEMENT)
    with pytest.raises(ArchspecError, match="did you mean `bfloat16`"):
        parse_dtype("bf16")
    with pytest.raises(ArchspecError, match=r"t4 have no peak for bfloat16; it has `float32`"):
        shipped_devices()["t4"].peak_of("bfloat16")


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        (("bandwidth: 500 GB/s", "bandwidth: 500"), "4:16", "must be a bandwidth such as 50GB/s"),
        (("500 GB/s", "500 GB"), "4:16", "must be a bandwidth such as 50GB/s"),
        (("500 GB/s", "0 GB/s"), "4:16", "must be a bandwidth such as 50GB/s"),
        (("bandwidth:", "bandwith:"), "4:5", "no key `bandwith`; did you mean `bandwidth`?"),
        (("float32", "float33"), "3:12", "no key `float33`; did you mean `float32`?"),
        (("10 TFLOP/s", "10"), "3:21", "`peak.float32` of device 1 must be operations a second"),
        (("{float32: 10 TFLOP/s, bfloat16: 80 TFLOP/s}", "{}"), "3:11", "at least one of"),
        (("name: mine", "name: My card"), "2:11", "a name such as `rtx-4090`"),
        (("    source: its data sheet\n", ""), "2:5", "device 1 needs the key `source`"),
        (("  - name: mine", "  - 3\n  - name: mine"), "2:5", "device 1 must be a mapping of keys"),
        (("devices:", "device:"), "1:1", "no key `device`; did you mean `devices`?"),
        (("peak: {", "peak: {{"), "3:12", "cannot be a key"),
        (("name: mine", "name: mine\n    name: mine"), "3:5", "`name` is given twice"),
    ],
)
def test_a_bad_file_is_told_with_line_and_column(
    tmp_path: Path, change: tuple[str, str], place: str, said: str
) -> None:
    assert change[0] in MINE
    message = _refusal(tmp_path, MINE.replace(*change))
    assert message.startswith("devices.yaml cannot be used\n  ")
    assert f"devices.yaml:{place}: " in message
    assert said in message


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(MINE)), cut=st.integers(0, 12), put=st.text(max_size=6))
def test_any_text_gives_devices_or_a_message(place: int, cut: int, put: str) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(ArchspecError):
        text = MINE[:place] + put + MINE[place + cut :]
        path = Path(folder) / "devices.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        assert all(device.bandwidth > 0 for device in read_devices(path).values())


def test_every_problem_of_a_file_is_told(tmp_path: Path) -> None:
    text = MINE.replace("bandwidth:", "bandwith:").replace("mine", "My card")
    assert len(_refusal(tmp_path, text).splitlines()) == 3


def test_two_devices_of_one_name(tmp_path: Path) -> None:
    message = _refusal(tmp_path, MINE + MINE.removeprefix("devices:\n"))
    assert message.endswith("devices.yaml:6:11: there are two devices called `mine`")


@pytest.mark.parametrize("text", ["", "- name: mine", "devices: []", "devices: {}", "3"])
def test_a_file_that_holds_none(tmp_path: Path, text: str) -> None:
    assert "devices" in _refusal(tmp_path, text).splitlines()[1]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArchspecError, match=r"nothing\.yaml: there is no such file"):
        read_devices(tmp_path / "nothing.yaml")
    with pytest.raises(ArchspecError, match="directory"):
        read_devices(tmp_path)
