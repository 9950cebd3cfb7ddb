"""Files that lie, break off, or want something executed: each gets a message and nothing else."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_files import bvlc_dictionary, python2_npy, random_weights, small_alexnet, written

from archspec import weights
from archspec.diagnostics import ArchspecError
from archspec.weights import files, pickles, readers, store

GRAPH = small_alexnet()
WEIGHTS = random_weights(GRAPH)


def said(path: Path) -> str:
    """What is said of a file that cannot be read: one line, which names it."""
    with pytest.raises(ArchspecError) as caught:
        weights.load(path, GRAPH)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name[:20] in message
    assert len(message) < 800
    return message


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def torch_zip(path: Path, data: bytes, **entries: bytes) -> Path:
    """A file as torch.save writes it, with any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        for name, content in entries.items():
            archive.writestr(f"archive/data/{name.removeprefix('_')}", content)
    return path


def npy_of_objects(data: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def archived(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


WRAPPED: dict[str, Callable[[Path, bytes], Path]] = {
    "a pickle": lambda folder, data: written(folder / "net.pth", data),
    "zip": lambda folder, data: torch_zip(folder / "net.pt", data),
    "npy": lambda folder, data: written(folder / "net.npy", npy_of_objects(data)),
    "npz": lambda folder, data: archived(folder / "net.npz", "a.npy", npy_of_objects(data)),
    "legacy": lambda folder, data: written(
        folder / "old.pth", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + data
    ),
}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_pickle_that_calls_os_system(tmp_path: Path, wrap: str, protocol: int) -> None:
    mark = tmp_path / "executed"
    evil = {"conv1.weight": Calls(os.system, f"touch {mark}")}
    path = WRAPPED[wrap](tmp_path, pickle.dumps(evil, protocol))
    assert said(path) == (
        f"{path} is refused: its pickle calls posix.system, which no weights need; nothing of it "
        "was executed; get the weights alone, best as .safetensors"
    )
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("__builtin__", "apply"),
        ("subprocess", "check_output"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy", "load"),
        ("numpy.f2py.crackfortran", "myeval"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.hub", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("operator", "attrgetter"),
        ("importlib", "import_module"),
    ],
)
@pytest.mark.parametrize("opcode", ["GLOBAL", "STACK_GLOBAL", "INST"])
def test_no_function_is_called_but_the_known(
    tmp_path: Path, module: str, name: str, opcode: str
) -> None:
    if opcode == "GLOBAL":
        data = f"c{module}\n{name}\n".encode() + b"(U\x011tR."
    elif opcode == "INST":
        data = b"(U\x011" + f"i{module}\n{name}\n".encode() + b"."
    else:
        data = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name)) + b"\x93)R."
    message = said(written(tmp_path / "net.pth", b"\x80\x04" + data))
    assert f"{module}.{name}"[:60] in message
    assert "nothing of it was executed" in message


def test_a_whole_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for zipped in (True, False):
        path = tmp_path / "model.pth"
        torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=zipped)
        message = said(path)
        assert "an object of the class torch.nn.modules.linear.Linear" in message
        assert "torch.save(model.state_dict(), ...)" in message


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_program_of_torchscript(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(path))
    assert "is a TorchScript program, and reading that would run code" in said(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".", "no dictionary of tensors"),
        (b"\x80\x02" + b")" + b"2\x86" * 60 + b".", "no dictionary of tensors"),
        (b"\x80\x02}" + b")" + b"2\x86" * 60 + b"K\x01s.", "a key that is neither text nor number"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "no dictionary of tensors"),
        (b"\x80\x02j\xff\xff\xff\x7f.", "its pickle breaks off or is none"),
        (b"\x80\x05\x8e" + b"\xff" * 7 + b"\x7f" + b".", "its pickle breaks off or is none"),
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f" + b".", "its pickle breaks off or is none"),
        *(
            (b"\x80\x05" + code + (1 << 40).to_bytes(8, "little") + b".", "breaks off or is none")
            for code in (b"\x8d", b"\x8e", b"\x96")
        ),
        (b"\x80\x02(" * 10 + b".", "takes a value where there is none"),
        (b"\x80\x02.", "its pickle breaks off or is none"),
        (b"\x80\x02R.", "its pickle breaks off or is none"),
        (b"\x80\x02}}b.", "no dictionary of tensors"),
        (b"\x80\x02K\x01}b.", "sets the state of something that has none"),
        (b"\x80\x02K\x01K\x02a.", "adds to something that is no collection"),
        (b"\x80\x02\x82\x01.", "has the instruction EXT1"),
        (b"\x80\x05\x97.", "has the instruction NEXT_BUFFER"),
        (b"\x80\x04ctorch\nSize\n)}X\x01\x00\x00\x00aK\x01s\x92.", "with named arguments"),
        (b"\x80\x02K\x01Q.", "refers to something outside of it"),
        (b"\x80\x02X\x02\x00\x00\x00\xff\xff.", "its pickle breaks off or is none"),
        (b"\x80\x02I" + b"9" * 10_000 + b"\n.", "its pickle breaks off or is none"),
        (b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".", "no dictionary of tensors"),
    ],
)  # fmt: skip
def test_bombs_and_nonsense(tmp_path: Path, data: bytes, expected: str) -> None:
    tracemalloc.start()
    try:
        assert expected in said(written(tmp_path / "net.pth", data))
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_too_many_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1000)
    path = written(tmp_path / "net.pth", b"\x80\x02" + b"N0" * 501 + b".")
    assert "a pickle of more than 1,000 instructions" in said(path)


# Tensors that reach where they may not.


def rebuilt(
    offset: int, size: str, stride: str, numel: int, kind: str = "FloatStorage", view: str = ""
) -> bytes:
    """A state dict with one tensor over the storage `0`, or a view of it, written by hand."""
    return (
        b"\x80\x02}X\x0c\x00\x00\x00conv1.weightctorch._utils\n_rebuild_tensor_v2\n((U\x07storage"
        + f"ctorch\n{kind}\nU\x010U\x03cpuL{numel}L\n{view}tQL{offset}L\n".encode()
        + f"({size}t({stride}t\x89Nt".encode("latin1")
        + b"Rs."
    )


@pytest.mark.parametrize(
    ("offset", "size", "stride", "numel", "expected"),
    [
        (-1, "K\x04", "K\x01", 4, "conv1.weight reaches out of its storage"),
        (1, "K\x04", "K\x01", 4, "conv1.weight reaches out of its storage"),
        (0, "K\x04", "K\x02", 4, "conv1.weight reaches out of its storage"),
        (3, "K\x04", "L-1L\n", 4, "conv1.weight reaches out of its storage"),
        (0, "L-4L\n", "K\x01", 4, "conv1.weight has the impossible shape -4"),
        (0, "K\x05", "K\x00", 4, "claims the shape 5, and the file has 4 of these numbers"),
        (0, "L4611686018427387904L\n" * 2, "K\x00K\x00", 4, "claims the shape 46116860184273"),
        (0, "K\x01" * 40, "K\x01" * 40, 4, "has the impossible shape"),
        (0, "K\x04", "K\x01", 5, "lies outside of the file's bytes"),
        (0, "K\x04", "K\x01", 2**62, "lies outside of the file's bytes"),
        (0, "K\x04", "K\x01", -4, "refers to something that is no storage"),
        (0, "K\x04", "K\x01K\x01", 4, "has no storage, offset, shape and strides"),
        (0, "N", "K\x01", 4, "has no storage, offset, shape and strides"),
    ],
)
def test_tensors_outside_of_their_storage(
    tmp_path: Path, offset: int, size: str, stride: str, numel: int, expected: str
) -> None:
    path = tmp_path / "net.pth"
    assert expected in said(torch_zip(path, rebuilt(offset, size, stride, numel), _0=bytes(16)))


def test_one_tensor_that_is_right(tmp_path: Path) -> None:
    """The hand-written files above fail by what is wrong with them alone."""
    path = torch_zip(
        tmp_path / "net.pth", rebuilt(1, "K\x03", "K\x01", 4), _0=np.arange(4, dtype="f4").tobytes()
    )
    (tensor,) = readers.read(path).tensors
    np.testing.assert_array_equal(tensor.value, [1, 2, 3])
    huge = torch_zip(
        tmp_path / "huge.pth", rebuilt(0, "K\x01", "L9223372036854775807L\n", 4), _0=bytes(16)
    )
    assert readers.read(huge).tensors[0].value.shape == (1,)


def legacy(data: bytes, count: bytes, numbers: bytes, **system: bool) -> bytes:
    """A file as PyTorch wrote it before 1.6, with the storage `0`."""
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    return b"".join([*head, data, pickle.dumps(["0"], 2), count, numbers])


@pytest.mark.parametrize("big", [False, True])
def test_files_of_machines_with_the_other_order_of_bytes(tmp_path: Path, big: bool) -> None:
    whole = rebuilt(0, "K\x04", "K\x01", 4)
    numbers = np.arange(4, dtype=">f4" if big else "<f4").tobytes()
    zipped = torch_zip(tmp_path / "net.pth", whole, _0=numbers)
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("archive/byteorder", "big" if big else "little")
    count = struct.pack(">q" if big else "<q", 4)
    old = written(tmp_path / "old.pth", legacy(whole, count, numbers, little_endian=not big))
    for path in (zipped, old):
        np.testing.assert_array_equal(readers.read(path).tensors[0].value, [0, 1, 2, 3])


@pytest.mark.parametrize("start", [1, -1, 2])
def test_a_view_of_a_storage(tmp_path: Path, start: int) -> None:
    """Older files have storages that are a part of another one."""
    whole = rebuilt(0, "K\x03", "K\x01", 4, view=f"(U\x01vL{start}L\nL3L\nt")
    path = torch_zip(tmp_path / "net.pth", whole, _0=np.arange(4, dtype="<f4").tobytes())
    if start == 1:
        np.testing.assert_array_equal(readers.read(path).tensors[0].value, [1, 2, 3])
    else:
        assert "the storage of conv1.weight lies outside of the file's bytes" in said(path)


@pytest.mark.parametrize("numel", [5, 2**40, 2**63 - 1])
def test_a_legacy_file_whose_storage_is_short(tmp_path: Path, numel: int) -> None:
    whole = rebuilt(0, "K\x04", "K\x01", 4)
    path = written(tmp_path / "old.pth", legacy(whole, struct.pack("<q", numel), bytes(16)))
    assert "it ends within the storage 0" in said(path)


# Archives.


def test_a_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1.npy", bytes(100 << 20))
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        message = said(path)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert "would unpack to 100.0 MiB from 99.6 KiB" in message
    assert "grows by more than the factor 20" in message


def test_a_zip_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1.npy", bytes(10 << 20))
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 10 << 20), struct.pack("<I", 1000)))
    tracemalloc.start()
    try:
        assert "its entry `conv1.npy` cannot be unpacked" in said(path)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    [
        "../net.npy",
        "a/../../net.npy",
        "/etc/net.npy",
        "//etc/net.npy",
        "..\\net.npy",
        "C:\\net.npy",
        "C:net.npy",
    ],
)
def test_an_archive_path_that_climbs(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / "net.npz", name, b"")
    before = sorted(tmp_path.rglob("*"))
    assert f"its entry `{name}` climbs out of the archive" in said(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_entries_that_are_links_or_stand_twice_or_are_encrypted(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("conv1.npy")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.npz", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "its entry `conv1.npy` is a link" in said(tmp_path / "link.npz")
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("conv1.npy", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("conv1.npy", b"2")
    assert "its entry `conv1.npy` stands in it twice" in said(tmp_path / "twice.npz")
    path = archived(tmp_path / "secret.npz", "conv1.npy", b"1")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "is encrypted" in said(path)


def test_an_archive_of_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_MEMBERS", 3)
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.npy", b"")
    assert "has 4 entries, more than 3" in said(tmp_path / "many.npz")
    with zipfile.ZipFile(tmp_path / "more.npz", "w") as archive:
        for number in range(100):
            archive.writestr(f"{number:060}.npy", b"")
    assert "has a directory of 10.7 KiB" in said(tmp_path / "more.npz")
    # The same in the format for larger archives, whose other record says less.
    data = (tmp_path / "more.npz").read_bytes()
    at = data.rindex(b"PK\x05\x06")
    begin, length = struct.unpack("<II", data[at + 16 : at + 20] + data[at + 12 : at + 16])
    large = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 100, 100, length, begin)
    pointer = struct.pack("<IIQI", 0x07064B50, 0, at, 1)
    small = data[at : at + 12] + struct.pack("<I", 0xFFFFFFFF) + data[at + 16 :]
    path = written(tmp_path / "large.npz", data[:at] + large + pointer + small)
    assert len(zipfile.ZipFile(path).namelist()) == 100
    assert "has a directory of 10.7 KiB" in said(path)


# NumPy.


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }", "claims"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "claims the shape 2 x 3"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }", "impossible shape -4"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "bytes beyond its shape"),
        ("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", "a format without numbers"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }", "without numbers"),
        ("{'descr': __import__('os').system('true')}", "the header of "),
        ("{" * 100, "the header of "),
        ("[]", "the header of "),
    ],
)
def test_npy_headers_that_lie(tmp_path: Path, header: str, expected: str) -> None:
    message = said(written(tmp_path / "net.npy", npy(header, bytes(16))))
    assert expected in message


def test_npy_without_a_dictionary(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros((2, 2)))
    assert "is one array and not the weights of a network" in said(tmp_path / "one.npy")
    np.save(tmp_path / "list.npy", np.array([{}, {}], object), allow_pickle=True)
    assert "objects in list.npy that are no dictionary" in said(tmp_path / "list.npy")
    np.save(tmp_path / "words.npy", np.array({"conv1": ["a"]}, object), allow_pickle=True)
    assert "has conv1[0], which is no array" in said(tmp_path / "words.npy")
    np.save(tmp_path / "none.npy", np.array({}, object), allow_pickle=True)
    assert "has no tensors in it" in said(tmp_path / "none.npy")


# safetensors.


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"conv1.weight": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (safetensors({}, length=2**60), "its header would have 1,152,921,504,606,846,976 bytes"),
        (safetensors({}, length=2**64 - 1), "its header would have"),
        (safetensors(b"{broken"), "is damaged"),
        (safetensors(entry("F32", [4], 0, 16), bytes(8)), "is damaged"),
        (safetensors(entry("F32", [4], 0, 8), bytes(8)), "is damaged"),
        (safetensors(entry("F32", [-4], 0, 16), bytes(16)), "is damaged"),
        (safetensors(entry("F32", [2**62, 2**62], 0, 16), bytes(16)), "is damaged"),
        (safetensors(entry("F32", [4], 16, 0), bytes(16)), "is damaged"),
        (safetensors(entry("F99", [4], 0, 16), bytes(16)), "is damaged"),
        (safetensors(entry("F8_E4M3", [4], 0, 4), bytes(4)), "in the format F8_E4M3"),
        (safetensors(entry("I32", [4], 0, 16), bytes(16)), "does not fit small: conv1.weight"),
        (safetensors({"__metadata__": {store.FORMAT_KEY: "9"}}), "is a store of version 9"),
        (
            safetensors({"__metadata__": {store.HOLDS_KEY: "optimizer"}}),
            "holds what an optimiser",
        ),
        (safetensors({}), "has no tensors in it"),
    ],
)
def test_safetensors_that_lie(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in said(written(tmp_path / "net.safetensors", content))


def test_a_name_that_stands_twice_in_the_header(tmp_path: Path) -> None:
    one = json.dumps(entry("F32", [4], 0, 16))[1:-1]
    other = json.dumps(entry("F32", [2], 0, 8))[1:-1]
    for text in (f"{{{one},{other}}}", f"{{{other},{one}}}"):
        said(written(tmp_path / "net.safetensors", safetensors(text.encode(), bytes(16))))


# What is no file of weights.


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in said(tmp_path)
    assert "does not exist" in said(tmp_path / "nothing.pth")
    assert "is empty" in said(written(tmp_path / "empty.pth", b""))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot read" in said(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in said(tmp_path / "pipe")
    message = said(written(tmp_path / "text.pth", b"conv1.weight = 3"))
    assert "is no file of weights that archspec knows; there are" in message
    assert "PyTorch (.pth, .pt, .bin, .ckpt)" in message
    with pytest.raises(ArchspecError, match="is no regular file"):
        weights.load("/dev/zero", GRAPH)
    with pytest.raises(ArchspecError, match=r"cannot read|does not exist"):
        weights.load("a\0b", GRAPH)


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    store_file(tmp_path / "real")
    (tmp_path / "link.pth").symlink_to(tmp_path / "real")
    assert not weights.load(tmp_path / "link.pth", GRAPH).missing


# What is in every format.


def store_file(path: Path) -> Path:
    return written(path, store.encode(GRAPH, WEIGHTS))


def torch_file(path: Path, zipped: bool) -> Path:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(weight) for name, weight in WEIGHTS.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    return path


def npz_file(path: Path) -> Path:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **WEIGHTS)
    return written(path, buffer.getvalue())


WRITERS: dict[str, Callable[[Path], Path]] = {
    "store": store_file,
    "zip": lambda path: torch_file(path, True),
    "legacy": lambda path: torch_file(path, False),
    "npz": npz_file,
    "npy": lambda path: written(path, python2_npy(bvlc_dictionary(GRAPH, WEIGHTS))),
}


@pytest.mark.parametrize("format", WRITERS)
def test_a_file_that_breaks_off(tmp_path: Path, format: str) -> None:
    whole = WRITERS[format](tmp_path / "net").read_bytes()
    places = random.Random(0).sample(range(1, len(whole)), 120)
    for place in [*range(1, 40), *places, len(whole) - 1]:
        path = written(tmp_path / "cut", whole[:place])
        with pytest.raises(ArchspecError, match="cut"):
            weights.load(path, GRAPH)


@pytest.mark.parametrize("format", WRITERS)
def test_bytes_that_changed(tmp_path: Path, format: str) -> None:
    """Whatever is read, it is weights or a message."""
    whole = WRITERS[format](tmp_path / "net").read_bytes()
    numbers = random.Random(1)
    for _ in range(400):
        changed = bytearray(whole)
        for _ in range(numbers.choice([1, 1, 2, 8])):
            # The structures stand at the beginning and at the end.
            place = min(numbers.randrange(len(whole)), numbers.randrange(len(whole)))
            changed[numbers.choice([place, -1 - place])] = numbers.randrange(256)
        path = written(tmp_path / "changed", bytes(changed))
        try:
            found = weights.load(path, GRAPH)
        except ArchspecError:
            continue
        assert all(np.isfinite(weight).all() for weight in found.weights.values())


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (np.nan, "1 of the 216 numbers of conv1.weight are NaN"),
        (np.inf, "1 of the 216 numbers of conv1.weight are infinite"),
    ],
)
def test_numbers_that_are_none(tmp_path: Path, number: float, expected: str) -> None:
    changed = {name: weight.copy() for name, weight in WEIGHTS.items()}
    changed["conv1.weight"][1, 2, 0, 1] = number
    np.savez(tmp_path / "net.npz", **changed)
    assert expected in said(tmp_path / "net.npz")
    assert not weights.load(tmp_path / "net.npz", GRAPH, skip=["conv1"]).missing


def test_numbers_of_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    np.savez(path, **{name: (w * 100).astype("int8") for name, w in WEIGHTS.items()})
    assert "has conv1.weight as int8, not as floating point numbers" in said(path)
    np.savez(path, **{name: w.astype("float64") * 1e300 for name, w in WEIGHTS.items()})
    assert "numbers in conv1.weight that are too large for float32" in said(path)
    np.savez(path, **{name: w.astype("complex64") for name, w in WEIGHTS.items()})
    assert "has conv1.weight as complex64" in said(path)
    exact = {name: w.astype("float64") for name, w in WEIGHTS.items()}
    np.savez(path, **exact)
    found = weights.load(path, GRAPH)
    assert found.matches[0].changes == ("float64 to float32, exactly",)
    exact["conv1.weight"] = exact["conv1.weight"] + 1e-12
    np.savez(path, **exact)
    changes = weights.load(path, GRAPH).matches[0].changes
    assert changes == ("float64 to float32, 216 of 216 numbers rounded",)
    np.savez(path, **{name: w.astype(">f2") for name, w in WEIGHTS.items()})
    found = weights.load(path, GRAPH)
    assert found.matches[0].changes == ("float16 to float32",)
    assert found.weights["conv1.weight"].dtype == np.dtype("=f4")


@pytest.mark.parametrize("kind", ["FloatStorage", "BFloat16Storage"])
def test_many_tensors_that_share_one_storage(tmp_path: Path, kind: str) -> None:
    """A megabyte that stands for ten gigabytes."""
    whole = rebuilt(0, "J\x00\x00\x04\x00", "K\x01", 2**18, kind)
    begin, end = whole.index(b"X\x0c"), whole.rindex(b"s.")
    head = b"\x80\x02}(" + whole[begin:end] + b"q\x01"
    more = b"".join(b"X\x05\x00\x00\x00%05dh\x01" % n for n in range(10_000))
    path = torch_zip(tmp_path / "net.pth", head + more + b"u.", _0=bytes(4 << 18))
    tracemalloc.start()
    try:
        assert "that share the 1." in said(path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_a_header_that_no_weights_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_HEADER", 100)
    path = store_file(tmp_path / "net.safetensors")
    assert "bytes: no weights need that" in said(path)


def test_tensors_of_kinds_that_are_not_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"conv1.weight": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    message = said(tmp_path / "sparse.pth")
    assert "has a tensor of a kind that is not read (torch._utils._rebuild_sparse" in message
