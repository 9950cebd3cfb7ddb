"""A reader of pickles that executes nothing.

A pickle is a program for a stack machine. This one runs it with values of its own: it builds
lists, tuples, dictionaries, numbers and texts, and for the few functions below, which PyTorch and
NumPy name in the files that they write, it notes what they would make. Every other name is
refused as soon as it stands in the file, before anything is called; no module is ever imported.
What a name stands for is decided by the tables at the end, and by nothing else.

Memory is bounded by the file: each instruction takes bytes of it, and arrays are described, not
made, until their bytes are there.

`pickle.Unpickler` with a `find_class` of its own would refuse the same names, but it hashes a key
before anybody can look at it, which takes 2^60 steps for a tuple of sixty levels that holds each
twice, and it makes room for whatever place in its memo and whatever length a file names. What could
be left to it is the stack, a third of this module, behind a scan as long as that.
"""

from __future__ import annotations

import os
import pickletools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

from archspec.diagnostics import ArchspecError, shortened
from archspec.layers.base import Shape
from archspec.weights.files import damaged, elements, refused

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

# A state dict of a thousand layers takes a hundred thousand; a million take some seconds.
MAX_INSTRUCTIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class Name:
    """A function or a class that the file names."""

    module: str
    name: str

    def __str__(self) -> str:
        return shortened(f"{self.module}.{self.name}", 80)


@dataclass(slots=True)
class Opaque:
    """Something that no weights are made of: the place of a result that nobody asks for."""

    of: Name


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of `count` numbers of a PyTorch file; `key` says which one.

    It begins at number `start` of the stored run (older files have such views).
    """

    key: str
    dtype: str
    count: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Strided:
    """A PyTorch tensor: numbers of a storage, by offset, shape and strides."""

    storage: Storage
    offset: int
    shape: Shape
    strides: Shape


@dataclass(slots=True)
class Dtype:
    """A number format of NumPy, as text such as ``<f4``."""

    code: str

    def set(self, state: Any, machine: _Machine) -> None:
        """Take the byte order, which stands apart."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.code = state[1] + self.code.lstrip("<>|=")


@dataclass(slots=True)
class Stored:
    """A NumPy array: shape, format and bytes, or its objects one after the other."""

    shape: Shape = ()
    dtype: str = ""
    fortran: bool = False
    data: bytes | list[Any] = b""

    def set(self, state: Any, machine: _Machine) -> None:
        """Take the state that NumPy writes: version, shape, format, order, data."""
        match state:
            case (int(), tuple(shape), Dtype() as dtype, bool() | int() as fortran, data) if _whole(
                shape
            ):
                pass
            case _:
                raise machine.fault("an array has no shape and data")
        if isinstance(data, str):  # Python 2 had no bytes
            data = data.encode("latin1")
        if not isinstance(data, (bytes, list)):
            raise machine.fault("an array has no data")
        self.shape, self.dtype, self.fortran, self.data = shape, dtype.code, bool(fortran), data


@dataclass(frozen=True, slots=True)
class _Bounded:
    """A stream that is never asked for more than its `size` bytes: Python makes room first."""

    stream: IO[bytes]
    size: int

    def read(self, count: int) -> bytes:
        return self.stream.read(min(count, self.size))

    def readline(self) -> bytes:
        return self.stream.readline()


Found = Any  # None, bool, int, float, str, bytes, list, tuple, dict, or one of the classes above


@dataclass(slots=True)
class _Mark:
    """Where the items of a collection begin on the stack."""


@dataclass(slots=True)
class _Machine:
    """The stack machine. `storage` is that of `read`."""

    path: Path
    storage: Callable[[Any], Storage] | None
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def fault(self, what: str) -> ArchspecError:
        """The error for a pickle that is none, or not one of weights."""
        return damaged(self.path, what)

    def run(self, stream: IO[bytes]) -> Found:
        count, begin = 0, stream.tell()
        bounded = cast("IO[bytes]", _Bounded(stream, stream.seek(0, os.SEEK_END)))
        stream.seek(begin)
        try:
            for opcode, argument, _ in pickletools.genops(bounded):
                count += 1
                if count > MAX_INSTRUCTIONS:
                    raise refused(
                        self.path, f"has a pickle of more than {MAX_INSTRUCTIONS:,} instructions"
                    )
                if opcode.name == "STOP":
                    return self.pop()
                self.step(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise damaged(
                self.path, f"its pickle breaks off or is none ({shortened(reason, 80)})"
            ) from None
        raise self.fault("its pickle has no end")

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _VALUES:
            self.stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(reversed(items)))
        elif name in _COLLECTED:
            self.stack.append(_COLLECTED[name](self, self.items()))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.top()
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise refused(self.path, f"is refused: its pickle has the instruction {name}")

    def top(self) -> Any:
        """What lies on top, which may be a mark."""
        return self.stack[-1]

    def pop(self) -> Any:
        """Take what lies on top."""
        found = self.stack.pop()
        if isinstance(found, _Mark):
            raise self.fault("its pickle takes a value where there is none")
        return found

    def items(self) -> list[Any]:
        """Take everything above the last mark."""
        found: list[Any] = []
        while not isinstance(self.stack[-1], _Mark):
            found.append(self.stack.pop())
        self.stack.pop()
        return found[::-1]

    def into(self, kind: type) -> Any:
        """The collection on top, which must be of that kind."""
        if not isinstance(self.top(), kind):
            raise self.fault("its pickle adds to something that is no collection")
        return self.top()

    def fill(self, pairs: Sequence[Any]) -> None:
        """Put keys and values into the dictionary on top."""
        target = self.top()
        if isinstance(target, Opaque):
            return
        target = self.into(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: Any) -> Any:
        """A key that takes no time to compare."""
        if isinstance(key, (str, bytes, int, float, type(None))):
            return key
        if isinstance(key, tuple) and all(isinstance(k, (str, bytes, int)) for k in key):
            return key
        raise self.fault("a dictionary has a key that is neither text nor number")

    def named(self, module: Any, name: Any) -> None:
        """Put a function or class on the stack, if it is one that is known."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise self.fault("its pickle names a function by something that is no text")
        found = Name(module, name)
        if _known(found) is None:
            raise _refusal(self.path, found)
        self.stack.append(found)

    def call(self, function: Any, arguments: Any) -> None:
        """What a function would make of its arguments."""
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise self.fault("its pickle calls something that is no function")
        made = _known(function)
        if made is None:
            raise _refusal(self.path, function)
        try:
            self.stack.append(made(self, function, arguments))
        except (ValueError, TypeError, IndexError, AttributeError, LookupError):
            raise self.fault(f"{function} has arguments that it cannot have") from None

    def build(self, state: Any) -> None:
        """Give the object on top its state."""
        target = self.top()
        if isinstance(target, (Dtype, Stored)):
            target.set(state, self)
        elif not isinstance(target, (dict, Opaque, Strided)):
            raise self.fault("its pickle sets the state of something that has none")

    def persistent(self, identity: Any) -> None:
        """A storage, which PyTorch keeps outside of the pickle."""
        if self.storage is None:
            raise refused(self.path, "is refused: its pickle refers to something outside of it")
        self.stack.append(self.storage(identity))


def _collect_dict(machine: _Machine, items: list[Any]) -> dict[Any, Any]:
    machine.stack.append({})
    machine.fill(items)
    made: dict[Any, Any] = machine.stack.pop()
    return made


def _object(machine: _Machine, arguments: Any) -> None:
    function, *rest = machine.items()
    machine.call(function, tuple(rest))


def _inst(machine: _Machine, argument: str) -> None:
    items = machine.items()
    machine.named(*argument.split(" ", 1))
    machine.call(machine.pop(), tuple(items))


def _new(machine: _Machine, argument: Any) -> None:
    arguments = machine.pop()
    machine.call(machine.pop(), arguments)


def _new_with_words(machine: _Machine, argument: Any) -> None:
    words, arguments = machine.pop(), machine.pop()
    if words:
        raise machine.fault("its pickle makes an object with named arguments")
    machine.call(machine.pop(), arguments)


def _drop(machine: _Machine, argument: Any) -> None:
    machine.stack.pop()


def _drop_items(machine: _Machine, argument: Any) -> None:
    machine.items()


def _append(machine: _Machine, argument: Any) -> None:
    item = machine.pop()
    if not isinstance(machine.top(), Opaque):
        machine.into(list).append(item)


def _appends(machine: _Machine, argument: Any) -> None:
    items = machine.items()
    if not isinstance(machine.top(), Opaque):
        machine.into(list).extend(items)


def _set_item(machine: _Machine, argument: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.fill([key, value])


_VALUES = frozenset(
    [
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    ]
)
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "MARK": _Mark,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_COLLECTED: Mapping[str, Callable[[_Machine, list[Any]], Any]] = {
    "LIST": lambda machine, items: items,
    "FROZENSET": lambda machine, items: items,
    "TUPLE": lambda machine, items: tuple(items),
    "DICT": _collect_dict,
}
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "POP": _drop,
    "POP_MARK": _drop_items,
    "DUP": lambda machine, argument: machine.stack.append(machine.stack[-1]),
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, argument: machine.fill(machine.items()),
    "GLOBAL": lambda machine, argument: machine.named(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, argument: machine.named(
        *reversed((machine.pop(), machine.pop()))
    ),
    "REDUCE": _new,
    "NEWOBJ": _new,
    "NEWOBJ_EX": _new_with_words,
    "OBJ": _object,
    "INST": _inst,
    "BUILD": lambda machine, argument: machine.build(machine.pop()),
    "BINPERSID": lambda machine, argument: machine.persistent(machine.pop()),
    "PERSID": lambda machine, argument: machine.persistent(argument),
}


def read(path: Path, stream: IO[bytes], storage: Callable[[Any], Storage] | None = None) -> Found:
    """The value that the pickle in `stream` describes; the stream is left behind its end.

    `storage` makes a `Storage` of what a file of PyTorch refers to; without it a pickle that
    refers to anything outside of it is refused. Raises ArchspecError.
    """
    return _Machine(path, storage).run(stream)


def array(path: Path, name: str, stored: Stored) -> Array:
    """The NumPy array that was described, a view of its bytes. Raises ArchspecError."""
    import numpy as np

    dtype = number_format(path, name, stored.dtype)
    if not isinstance(stored.data, bytes):
        raise damaged(path, f"{shortened(name)} has no numbers")
    count = elements(path, name, stored.shape, len(stored.data) // dtype.itemsize)
    if count * dtype.itemsize != len(stored.data):
        raise damaged(path, f"{shortened(name)} has bytes beyond its shape")
    flat = np.frombuffer(stored.data, dtype)
    return flat.reshape(stored.shape, order="F" if stored.fortran else "C")


def number_format(path: Path, name: str, code: str) -> np.dtype[np.generic]:
    """The format with that code, such as ``<f4``. Raises ArchspecError unless it is one."""
    import numpy as np

    if not re.fullmatch(r"[<>|=]?(f[248]|[iu][1248]|b1|c8|c16)", code):
        raise refused(path, f"has {shortened(name)} in a format without numbers: {shortened(code)}")
    return np.dtype(code)


def _whole(shape: Sequence[Any]) -> bool:
    return all(isinstance(size, int) and not isinstance(size, bool) for size in shape)


_Maker = Callable[[_Machine, Name, tuple[Any, ...]], Any]


def _dictionary(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Any:
    pairs = arguments[-1] if arguments and isinstance(arguments[-1], (list, dict)) else []
    made: dict[Any, Any] = {}
    for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
        made[machine.key(key)] = value
    return made


def _collection(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Any:
    (items,) = arguments or ([],)
    return list(items) if isinstance(items, (list, tuple)) else Opaque(function)


def _opaque(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Any:
    return Opaque(function)


def _uncallable(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> NoReturn:
    raise machine.fault(f"its pickle calls {function}, which is no function")


def _encoded(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> bytes:
    text, encoding = arguments
    if encoding not in ("latin1", "latin-1"):
        raise machine.fault("its pickle has bytes in an encoding that no bytes are in")
    encoded: bytes = text.encode("latin1")
    return encoded


def _size(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    (sizes,) = arguments
    return tuple(sizes)


def _dtype(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Dtype:
    code = arguments[0]
    return Dtype(code.decode("latin1") if isinstance(code, bytes) else str(code)[:20])


def _array(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Stored:
    return Stored()  # its state comes later


def _from_buffer(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Stored:
    data, dtype, shape, order = arguments
    made = Stored()
    made.set((1, shape, dtype, order == "F", data), machine)
    return made


def _tensor(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Strided:
    match arguments:
        case (Storage() as storage, int() as offset, tuple(shape), tuple(strides), *_) if (
            _whole(shape) and _whole(strides) and len(shape) == len(strides)
        ):
            return Strided(storage, offset, shape, strides)
    raise machine.fault("a tensor has no storage, offset, shape and strides")


def _parameter(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Any:
    return arguments[0]


def _of_type(machine: _Machine, function: Name, arguments: tuple[Any, ...]) -> Any:
    rebuild, _, inner, *_ = arguments
    machine.call(rebuild, inner)
    return machine.pop()


# PyTorch's storages: the number format of each.
STORAGES: Mapping[str, str] = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
}
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_FUNCTIONS: Mapping[tuple[str, str], _Maker] = {
    ("collections", "OrderedDict"): _dictionary,
    ("collections", "defaultdict"): _dictionary,
    ("collections", "Counter"): _dictionary,
    ("_codecs", "encode"): _encoded,
    **{(module, "_reconstruct"): _array for module in _ARRAY_MODULES},
    **{(module, "scalar"): _opaque for module in _ARRAY_MODULES},
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _uncallable,
    ("numpy", "dtype"): _dtype,
    ("torch", "Size"): _size,
    ("torch", "Tensor"): _uncallable,
    ("torch", "device"): _opaque,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
    ("torch.nn.parameter", "Parameter"): _uncallable,
    **{("torch", name): _uncallable for name in STORAGES},
    **{
        ("torch", name): _uncallable
        for name in (
            *("float64", "double", "float32", "float", "float16", "half", "bfloat16", "complex64"),
            *("complex128", "int64", "long", "int32", "int16", "int8", "uint8", "bool"),
        )
    },
    # What checkpoints hold beside weights, and nobody reads.
    ("argparse", "Namespace"): _opaque,
    ("pathlib", "PosixPath"): _opaque,
    ("pathlib", "WindowsPath"): _opaque,
    ("datetime", "datetime"): _opaque,
    ("datetime", "timedelta"): _opaque,
    **{
        (module, name): _collection
        for module in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "list", "tuple")
    },
    **{
        (module, name): _opaque
        for module in ("builtins", "__builtin__")
        for name in ("dict", "int", "float", "bool", "str", "bytearray", "complex", "slice")
    },
}


def _known(name: Name) -> _Maker | None:
    return _FUNCTIONS.get((name.module, name.name))


def _refusal(path: Path, name: Name) -> ArchspecError:
    """Why a name may not stand in a file of weights."""
    if name.module == "torch._utils" and re.fullmatch(r"_rebuild_\w+", name.name):
        return refused(
            path,
            f"has a tensor of a kind that is not read ({name}): sparse, quantised or without data",
            "save dense tensors of floating point numbers",
        )
    if name.name.rpartition(".")[2][:1].isupper():
        return refused(
            path,
            f"holds an object of the class {name}, such as a whole pickled model, and making that "
            "would run code",
            "save the weights alone: torch.save(model.state_dict(), ...) where its class is",
        )
    return refused(
        path,
        f"is refused: its pickle calls {name}, which no weights need; nothing of it was executed",
        "get the weights alone, best as .safetensors",
    )
