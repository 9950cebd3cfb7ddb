"""HDF5 files that are not trusted: groups, arrays and names, and nothing that points elsewhere.

HDF5 can link to other files, keep the numbers of an array in any file of the machine, load filters
from shared libraries, and claim arrays of any size. None of it is followed here: only groups and
arrays whose bytes are in the file itself, stored as they are or by deflate, LZF, shuffle and
checksum.

h5py reads groups and arrays. The texts that are attributes are read by `Headers`, because the HDF5
library (1.14.6) crashes on, or walks for ever through, a damaged heap of texts.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from archspec.diagnostics import ArchspecError, shortened
from archspec.weights import files, store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Filters that HDF5 and h5py have built in: deflate, shuffle, Fletcher's checksum, LZF.
FILTERS = {1, 2, 3, 32000}
# The messages of an object header (HDF5 file format specification 3.0, section IV.A.2).
EXTERNAL, LAYOUT, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 0x07, 0x08, 0x0C, 0x10, 0x11
FIXED_TEXT, VARIABLE = 3, 9  # classes of datatypes
VIRTUAL = 3  # a class of layouts

ADVICE = "copy the weights into one file"


class Hdf5:
    """An open file, whose groups and arrays are given out by these methods alone.

    Each raises ArchspecError for what is refused, and `opened` for what is damaged.
    """

    def __init__(self, path: Path, file: Any, headers: Headers) -> None:
        self.path = path
        self.root = file
        self._headers = headers
        self._seen = {_address(file)}
        self._children: dict[str, tuple[dict[str, Any], bool]] = {}
        self._unpacked = 0

    def children(self, group: Any) -> tuple[dict[str, Any], bool]:
        """The groups and arrays in a group by name, and whether in the order they were made.

        They are in the order of their names where the file does not tell.
        """
        if group.name not in self._children:
            self._children[group.name] = self._listed(group)
        return self._children[group.name]

    def dataset(self, group: Any, where: str) -> Any:
        """The array at a path below a group."""
        import h5py

        found = group
        for part in where.split("/"):
            inside = self.children(found)[0] if isinstance(found, h5py.Group) else {}
            if part not in inside:
                raise files.damaged(
                    self.path, f"`{shortened(group.name)}` has no `{shortened(where)}`"
                )
            found = inside[part]
        if not isinstance(found, h5py.Dataset):
            raise files.damaged(self.path, f"`{shortened(found.name)}` is no array")
        return found

    def _listed(self, group: Any) -> tuple[dict[str, Any], bool]:
        names = list(group)
        if len(names) > files.MAX_TENSORS:
            raise files.refused(self.path, f"has {len(names):,} entries in one group")
        tracked = group.id.get_create_plist().get_link_creation_order()
        made = names if tracked else self._headers.linked(_address(group), len(names))
        ordered = sorted(made) == sorted(names)
        return {name: self._linked(group, name) for name in (made if ordered else names)}, ordered

    def _linked(self, group: Any, name: str) -> Any:
        """What a name in a group stands for, looked at before the library opens it."""
        import h5py

        where = f"`{shortened(group.name.rstrip('/') + '/' + name)}`"
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            what = f"is refused: {where} points at another file, `{shortened(link.filename)}`"
            raise files.refused(self.path, what, ADVICE)
        if not isinstance(link, h5py.HardLink):
            raise files.refused(self.path, f"is refused: {where} is a link", ADVICE)
        address = group.id.links.get_info(name.encode("utf-8", "surrogateescape")).u
        if address in self._seen:
            raise files.refused(self.path, f"is refused: {where} stands in it twice")
        self._seen.add(address)
        if self._headers.elsewhere(address):
            what = f"is refused: the numbers of {where} are in other files"
            raise files.refused(self.path, what, ADVICE)
        return group[name]

    def numbers(self, dataset: Any) -> tuple[npt.NDArray[np.generic], str]:
        """An array, and the number format in the file where NumPy has none such, else ""."""
        import h5py
        import numpy as np

        where = f"`{shortened(dataset.name)}`"
        plan = dataset.id.get_create_plist()
        filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
        if filters - FILTERS:
            numbers = ", ".join(map(str, sorted(filters - FILTERS)))
            raise files.refused(
                self.path,
                f"is refused: {where} is stored through filter {numbers}, which is code outside of "
                "HDF5",
                "write it again without compression",
            )
        size = dataset.dtype.itemsize
        bfloat16 = dataset.dtype.kind == "V" and size == 2
        if bfloat16:
            bfloat16 = self.text(dataset, "dtype") == "bfloat16"
        if dataset.shape is None or not (bfloat16 or dataset.dtype.kind in "fiub"):
            raise files.damaged(self.path, f"{where} has no numbers")
        count = files.elements(self.path, dataset.name, dataset.shape)
        chunk = math.prod(dataset.chunks or ()) * size
        self._unpacked += max(count * size, chunk)
        files.allow_unpacking(self.path, self._unpacked, where)
        stored = dataset.id.get_storage_size()
        if plan.get_layout() != h5py.h5d.CHUNKED and stored < count * size:
            # HDF5 would make up the rest.
            files.elements(self.path, dataset.name, dataset.shape, stored // size)
        if bfloat16:
            return store.widen(dataset[()].view(np.uint16)), "bfloat16"
        return dataset[()], ""

    def text(self, of: Any, attribute: str) -> str:
        """A text attribute of a group or array, "" where there is none."""
        found = self._headers.texts(_address(of), attribute)
        return found[0] if found else ""

    def texts(self, of: Any, attribute: str) -> list[str] | None:
        """An attribute that is a list of texts, None where there is none.

        Keras cuts a long list into several attributes, with a number behind the name.
        """
        address = _address(of)
        found = self._headers.texts(address, attribute)
        pieces: list[list[str]] = [] if found is None else [found]
        while found is None:
            piece = self._headers.texts(address, f"{attribute}{len(pieces)}")
            if piece is None:
                break
            pieces.append(piece)
        return [text for piece in pieces for text in piece] if pieces else None


@contextlib.contextmanager
def opened(path: Path, stream: BinaryIO) -> Iterator[Hdf5]:
    """The HDF5 file in a stream; `path` is the file that messages name."""
    import h5py

    try:
        headers = Headers(stream)
        with h5py.File(stream, "r") as file:
            yield Hdf5(path, file, headers)
    except ArchspecError:
        raise
    except Exception as error:  # the library raises whatever its bytes lead it to
        raise files.unreadable(path, error) from None


def _address(of: Any) -> int:
    """Where the header of a group or array is in the file."""
    import h5py

    found: int = h5py.h5o.get_info(of.id).addr
    return found


class Headers:
    """The object headers of an HDF5 file, read from its bytes.

    The names of sections are those of the HDF5 file format specification 3.0. Raises ValueError
    or `struct.error` for what breaks the format.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)
        self._heaps: dict[int, dict[int, bytes]] = {}
        self._walked = 0
        # II.A: the superblock; addresses of eight bytes from the beginning of the file.
        start = self._bytes(0, 32)
        sizes, base = (start[13:15], start[24:32]) if start[8] < 2 else (start[9:11], start[12:20])
        if sizes != b"\x08\x08" or any(base):
            raise ValueError("its addresses are not of eight bytes from its beginning")

    def elsewhere(self, address: int) -> bool:
        """Whether the numbers of an array are in other files, or put together from them."""
        for kind, data in self._messages(address):
            # IV.A.2.i: from version 3 on, the class is behind the version.
            if kind == EXTERNAL or (kind == LAYOUT and data[0] >= 3 and data[1] == VIRTUAL):
                return True
        return False

    def linked(self, address: int, count: int) -> list[str]:
        """The names of `count` links in a group in the order they were made, [] if not known.

        HDF5 lists them by name. But a group of the old kind, which h5py makes, keeps its names in
        a local heap (III.D), each behind the one before it.
        """
        tables = [data for kind, data in self._messages(address) if kind == SYMBOL_TABLE]
        if not tables:
            return []
        heap = self._bytes(struct.unpack_from("<8xQ", tables[0])[0], 32)
        size, _, where = struct.unpack_from("<QQQ", heap, 8)
        if heap[:4] != b"HEAP":
            raise ValueError("a group has no heap of names")
        names = self._bytes(where, size)
        found: list[str] = []
        at = 8  # the empty name comes first
        while len(found) < count:
            end = names.find(b"\0", at)
            if end <= at:
                return []
            found.append(names[at:end].decode("utf-8", "surrogateescape"))
            at = (end + 8) // 8 * 8
        return found

    def texts(self, address: int, attribute: str) -> list[str] | None:
        """The texts of an attribute, None where there is none of that name with texts in it."""
        for kind, data in self._messages(address):
            if kind == ATTRIBUTE:
                name, found = self._attribute(data)
                if name == attribute and found is not None:
                    return [text.decode("utf-8", "replace") for text in found]
        return None

    def _attribute(self, data: bytes) -> tuple[str, list[bytes] | None]:
        """An attribute's name and its texts, None where it has others (IV.A.2.m)."""
        version, flags, *sizes = struct.unpack_from("<BBHHH", data)
        at = 9 if version == 3 else 8
        parts = []
        for size in sizes:
            parts.append(data[at : at + size])
            at += (size + 7) // 8 * 8 if version == 1 else size
        name, kind, space = parts
        called = name.rstrip(b"\0").decode("utf-8", "replace")
        shared = version > 1 and flags & 3
        if shared or len(kind) < 8:
            return called, None
        # IV.A.2.d: datatype; IV.A.2.b: dataspace.
        size = int.from_bytes(kind[4:8], "little")
        start, scalar = (8, False) if space[0] == 1 else (4, space[3] == 0)
        dims = struct.unpack_from(f"<{0 if scalar else space[1]}Q", space, start)
        count, values = math.prod(dims), data[at:]
        if kind[0] & 15 not in (FIXED_TEXT, VARIABLE) or count * size > len(values):
            return called, None
        elements = [values[i * size : (i + 1) * size] for i in range(count)] if size else []
        if kind[0] & 15 == FIXED_TEXT:
            return called, [element.split(b"\0")[0] for element in elements]
        if kind[1] & 15 != 1 or size != 16:  # a list of something else than letters
            return called, None
        return called, [self._from_heap(*struct.unpack("<IQI", element)) for element in elements]

    def _from_heap(self, length: int, address: int, index: int) -> bytes:
        """A text in a global heap."""
        if length == 0:
            return b""
        if address not in self._heaps:
            self._heaps[address] = self._heap(address)
        return self._heaps[address][index][:length]

    def _heap(self, address: int) -> dict[int, bytes]:
        """The objects of a global heap by number (III.E)."""
        start = self._bytes(address, 16)
        if start[:4] != b"GCOL":
            raise ValueError("there is no heap of texts where one should be")
        heap = self._bytes(address, int.from_bytes(start[8:], "little"))
        found, at = {}, 16
        while at + 16 <= len(heap):
            index, size = struct.unpack_from("<H6xQ", heap, at)
            if index == 0:  # free space, which is the end
                break
            found[index] = heap[at + 16 : at + 16 + size]
            at += 16 + (size + 7) // 8 * 8
        return found

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """The messages of an object header, kind and content (IV.A.1)."""
        start = self._bytes(address, 16)
        if start[:4] == b"OHDR":
            flags = start[5]
            at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = int.from_bytes(self._bytes(address + at, width), "little")
            blocks = [(address + at + width, size)]
            prefix, extra = "<BH", 3 if flags & 4 else 1
        elif start[0] == 1:
            blocks = [(address + 16, struct.unpack_from("<I", start, 8)[0])]
            prefix, extra = "<HH", 4
        else:
            raise ValueError("an object has a header of no known version")
        first = struct.calcsize(prefix) + extra
        for where, length in blocks:  # which grows
            block, at = self._bytes(where, length), 0
            while at + first <= len(block):
                kind, size = struct.unpack_from(prefix, block, at)
                data = block[at + first : at + first + size]
                if kind == CONTINUATION:
                    there, taken = struct.unpack_from("<QQ", data)
                    # A block of the new kind has a signature before and a checksum behind it.
                    blocks.append((there, taken) if extra == 4 else (there + 4, taken - 8))
                elif data:
                    yield kind, data
                at += first + size

    def _bytes(self, address: int, size: int) -> bytes:
        """A part of the file. Bounded in all, so that no circle is walked for ever."""
        self._walked += size + 16
        if not 0 <= size <= self._size - address or self._walked > 20 * self._size + (1 << 24):
            raise ValueError("a part of it lies outside of it, or in a circle")
        self._stream.seek(address)
        return self._stream.read(size)
