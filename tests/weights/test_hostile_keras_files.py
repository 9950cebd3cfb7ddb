"""HDF5 files and archives that nobody should trust: each gives a message, and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from networks import layer, network

from archspec import weights
from archspec.diagnostics import ArchspecError
from archspec.weights import readers

GRAPH = network([layer("flat", "flatten"), layer("fc", "dense", units=3)], (4, 1, 1), "small")


def layout(file: h5py.File) -> h5py.Group:
    """A Keras 3 file with one dense layer whose kernel is missing."""
    file.create_group("vars").attrs["name"] = "net"
    found = file.create_group("layers/dense/vars")
    found.attrs["name"] = "fc"
    found["1"] = np.zeros(3, "f4")
    return found


def good(file: h5py.File) -> None:
    layout(file)["0"] = np.ones((4, 3), "f4")


def written(path: Path, fill: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ArchspecError) as caught:
        weights.load(path, GRAPH)
    message = str(caught.value)
    assert path.name in message
    assert len(message) < 500
    assert message.isprintable()
    return message


def external_link(file: h5py.File) -> None:
    layout(file)["0"] = h5py.ExternalLink("/etc/passwd", "/kernel")


def soft_link(file: h5py.File) -> None:
    layout(file)["0"] = h5py.SoftLink("/layers/dense/vars/1")


def external_group(file: h5py.File) -> None:
    layout(file)
    file["layers/conv2d"] = h5py.ExternalLink("other.h5", "/")


def external_numbers(file: h5py.File) -> None:
    layout(file).create_dataset("0", (4, 3), "u1", external=[("/etc/passwd", 0, 12)])


def virtual(file: h5py.File) -> None:
    source = h5py.VirtualSource("other.h5", "kernel", shape=(4, 3))
    map_ = h5py.VirtualLayout((4, 3), "f4")
    map_[:] = source
    layout(file).create_virtual_dataset("0", map_)


def circle(file: h5py.File) -> None:
    layout(file)
    file["layers/dense/layers"] = file["layers"]


def twice(file: h5py.File) -> None:
    vars_ = layout(file)
    vars_["0"] = vars_["1"]


def deep(file: h5py.File) -> None:
    layout(file)
    file.create_group("/".join(["layers/dense"] * 40) + "/vars")


def bomb(file: h5py.File) -> None:
    layout(file).create_dataset(
        "0", data=np.zeros((17 << 20,), "f4"), compression="gzip", chunks=(1 << 20,)
    )


def chunk(file: h5py.File) -> None:
    # A few numbers in one chunk of two gigabytes.
    layout(file).create_dataset("0", (4, 3), "f4", chunks=(1 << 15, 1 << 14), maxshape=(None, None))


def absurd(file: h5py.File) -> None:
    layout(file).create_dataset("0", (1 << 40, 1 << 22), "f4", chunks=(1, 1))


def never_written(file: h5py.File) -> None:
    layout(file).create_dataset("0", (4, 3), "f4")  # HDF5 allocates at the first write


def foreign_filter(file: h5py.File) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((4, 3))
    plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((4, 3))
    h5py.h5d.create(layout(file).id, b"0", h5py.h5t.IEEE_F32LE, space, plan)


def texts(file: h5py.File) -> None:
    layout(file).create_dataset("0", data=["a", "b"])


def compound(file: h5py.File) -> None:
    layout(file)["0"] = np.zeros((4, 3), [("a", "f4"), ("b", "i8")])


def no_numbers(file: h5py.File) -> None:
    layout(file)["0"] = h5py.Empty("f4")


def not_a_number(file: h5py.File) -> None:
    layout(file)["0"] = np.full((4, 3), np.nan, "f4")


def infinite(file: h5py.File) -> None:
    layout(file)["0"] = np.full((4, 3), -np.inf, "f4")


def other_shape(file: h5py.File) -> None:
    layout(file)["0"] = np.ones((4, 5), "f4")


def group_for_array(file: h5py.File) -> None:
    layout(file).create_group("0")


def nothing(file: h5py.File) -> None:
    file["data"] = np.zeros(3)


def old_missing(file: h5py.File) -> None:
    file.attrs["layer_names"] = [b"fc"]


def old_climbing(file: h5py.File) -> None:
    file.attrs["layer_names"] = [b"fc"]
    file.create_group("fc").attrs["weight_names"] = [b"../../kernel:0"]


def old_numbers(file: h5py.File) -> None:
    file.attrs["layer_names"] = [b"fc"]
    file.create_group("fc").attrs["weight_names"] = [b"fc"]
    file["fc"].create_group("fc")


CASES = [
    (external_link, "`/layers/dense/vars/0` points at another file, `/etc/passwd`"),
    (soft_link, "`/layers/dense/vars/0` is a link"),
    (external_group, "`/layers/conv2d` points at another file"),
    (external_numbers, "the numbers of `/layers/dense/vars/0` are in other files"),
    (virtual, "the numbers of `/layers/dense/vars/0` are in other files"),
    (circle, "`/layers/dense/layers` stands in it twice"),
    (twice, "`/layers/dense/vars/0` stands in it twice"),
    (deep, "more than 30 groups in each other"),
    (bomb, "would unpack to 68.0 MiB"),
    (chunk, "would unpack to 2.0 GiB"),
    (absurd, "claims the shape 1099511627776 x 4194304"),
    (never_written, "claims the shape 4 x 3, and the file has 0 of these numbers"),
    (foreign_filter, "stored through filter 32015, which is code outside of HDF5"),
    (texts, "`/layers/dense/vars/0` has no numbers"),
    (compound, "`/layers/dense/vars/0` has no numbers"),
    (no_numbers, "`/layers/dense/vars/0` has no numbers"),
    (not_a_number, "12 of the 12 numbers of fc/kernel are NaN"),
    (infinite, "12 of the 12 numbers of fc/kernel are infinite"),
    (other_shape, "fc.weight: the file has 5 x 4 (as fc/kernel), the network 3 x 4"),
    (group_for_array, "`/layers/dense/vars/0` is no array"),
    (nothing, "is an HDF5 file, but none of Keras"),
    (old_missing, "it has no layer `fc`, which it lists"),
    (old_climbing, "`/fc` has no `../../kernel:0`"),
    (old_numbers, "`/fc/fc` is no array"),
]


@pytest.mark.parametrize(
    ("fill", "message"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_hostile_file_is_refused(
    tmp_path: Path, fill: Callable[[h5py.File], None], message: str
) -> None:
    path = written(tmp_path / "net.weights.h5", fill)
    tracemalloc.start()
    try:
        found = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert message in found.replace("×", "x")


@pytest.mark.parametrize("fill", [fill for fill, _ in CASES[:12]], ids=lambda fill: fill.__name__)
def test_so_it_is_within_an_archive(tmp_path: Path, fill: Callable[[h5py.File], None]) -> None:
    path = written(tmp_path / "inside", fill)
    assert refusal(archive(tmp_path / "net.keras", path.read_bytes()))


def archive(path: Path, data: bytes, config: bytes = b"{}", **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", config)
        file.writestr("model.weights.h5", data)
        for name, content in more.items():
            file.writestr(name, content)
    return path


def whole(tmp_path: Path) -> bytes:
    return written(tmp_path / "good.h5", good).read_bytes()


def test_the_good_file_is_good(tmp_path: Path) -> None:
    found = weights.load(archive(tmp_path / "net.keras", whole(tmp_path)), GRAPH)
    assert found.weights["fc.weight"].tolist() == [[1, 1, 1, 1]] * 3


@pytest.mark.parametrize("config", [b"{", b"[" * 200_000, b'{"config": ' * 50_000, b"\xff\xfe"])
def test_a_configuration_that_is_none(tmp_path: Path, config: bytes) -> None:
    path = archive(tmp_path / "net.keras", whole(tmp_path), config)
    assert "its configuration is no JSON" in refusal(path)


def test_a_configuration_executes_nothing_and_may_say_anything(tmp_path: Path) -> None:
    """What Keras would make a Lambda of is a dictionary here."""
    call = {"class_name": "__lambda__", "config": {"value": "X19pbXBvcnRfXygnb3MnKQ=="}}
    entries = [
        {"class_name": "Lambda", "config": {"name": "fc", "function": call}},
        {"class_name": 7, "config": []},
        "text",
        {"class_name": "Sequential", "config": {"layers": {"a": 1}}},
    ]
    for config in ({"config": {"layers": entries}}, {"config": entries}, [1], {"config": 3}):
        path = archive(tmp_path / "net.keras", whole(tmp_path), json.dumps(config).encode())
        assert weights.load(path, GRAPH).weights["fc.bias"].tolist() == [0, 0, 0]


def test_an_archive_that_climbs(tmp_path: Path) -> None:
    more = {"../../evil.py": b"import os"}
    path = archive(tmp_path / "net.keras", whole(tmp_path), **more)
    assert "its entry `../../evil.py` climbs out of the archive" in refusal(path)
    assert not (tmp_path.parent.parent / "evil.py").exists()


def test_a_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b"{}")
        with file.open("model.weights.h5", "w") as entry:
            for _ in range(80):
                entry.write(bytes(1 << 20))
    assert "would unpack to 80.0 MiB" in refusal(path)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_file_that_ends_early(tmp_path: Path, share: float) -> None:
    data = whole(tmp_path)
    path = tmp_path / "cut.weights.h5"
    path.write_bytes(data[: int(len(data) * share)])
    assert "is damaged" in refusal(path)
    assert "is damaged" in refusal(archive(tmp_path / "cut.keras", path.read_bytes()))


def test_something_else_under_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    path.write_bytes(b"<html>404 Not Found</html>")
    assert "is no file of weights that archspec knows" in refusal(path)
    assert "is damaged" in refusal(archive(tmp_path / "net.keras", path.read_bytes()))


def test_a_heap_without_an_end_is_not_walked_for_ever(tmp_path: Path) -> None:
    """The name of the layer lies in a heap of texts whose first object takes no room.

    The HDF5 library does not come back from reading that attribute.
    """
    data = bytearray(whole(tmp_path))
    heap = data.index(b"GCOL")
    struct.pack_into("<HHIQ", data, heap + 16, 0, 0, 0, 0)
    path = tmp_path / "loop.weights.h5"
    path.write_bytes(data)
    assert "is damaged" in refusal(path)


def test_a_text_that_is_longer_than_its_heap(tmp_path: Path) -> None:
    """The HDF5 library reads past the end here."""
    data = bytearray(whole(tmp_path))
    heap = data.index(b"GCOL")
    reference = data.index(struct.pack("<IQ", 3, heap))  # "net", or any name of three letters
    struct.pack_into("<I", data, reference, 0x7FFFFFFF)
    path = tmp_path / "long.weights.h5"
    path.write_bytes(data)
    assert weights.load(path, GRAPH).weights.keys() == {"fc.weight", "fc.bias"}


def mutated(data: bytes, seed: int) -> bytes:
    """The file with some bytes changed, or cut off."""
    numbers = random.Random(seed)
    if seed % 5 == 0:
        return data[: numbers.randrange(8, len(data))]
    changed = bytearray(data)
    for _ in range(numbers.choice([1, 1, 2, 5, 20])):
        at = numbers.randrange(8, min(len(data), 4000))
        changed[at] = numbers.choice([0, 255, numbers.randrange(256), changed[at] ^ 1])
    return bytes(changed)


def test_any_bytes_give_weights_or_a_message(tmp_path: Path) -> None:
    data, path, refused = whole(tmp_path), tmp_path / "any.weights.h5", 0
    for seed in range(300):
        path.write_bytes(mutated(data, seed))
        with contextlib.suppress(ArchspecError):
            readers.read(path)
            continue
        refused += 1
    assert 100 < refused < 300


def test_an_array_of_a_named_type_is_opened(tmp_path: Path) -> None:
    """A committed type is an object that arrays share, and not a link."""

    def named(file: h5py.File) -> None:
        vars_ = layout(file)
        file["type"] = np.dtype("f4")
        vars_.create_dataset("0", data=np.ones((4, 3), "f4"), dtype=file["type"])

    found = weights.load(written(tmp_path / "net.weights.h5", named), GRAPH)
    assert found.weights["fc.weight"].sum() == 12


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    os.mkfifo(path)
    assert "is no regular file" in refusal(path)


def test_numbers_with_the_bytes_the_other_way_round(tmp_path: Path) -> None:
    values = np.arange(12, dtype=">f4").reshape(4, 3)

    def swapped(file: h5py.File) -> None:
        layout(file)["0"] = values

    found = weights.load(written(tmp_path / "net.weights.h5", swapped), GRAPH)
    assert (found.weights["fc.weight"] == values.T).all()
    assert io.BytesIO(found.weights["fc.weight"].tobytes()).read(4) == struct.pack("=f", 0)
