"""Keras' files of weights: ``.weights.h5``, ``.keras``, and the older ``.h5``, with h5py alone.

A `.keras` file is a zip archive of ``config.json`` and ``model.weights.h5``. The configuration is
read as data for the names and order of layers and nothing in it is made into an object. Keras 3
calls the group of a layer by its class and a number and the arrays in it 0, 1, 2; the layer's own
name is an attribute (`keras.src.saving.saving_lib`).
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from archspec.diagnostics import shortened
from archspec.weights import files, hdf5
from archspec.weights.foreign import CANONICAL, Flatten, Foreign, Tensor
from archspec.weights.readers import Format

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

# Groups in groups; more is no network.
MAX_DEPTH = 30
CONFIG, WEIGHTS = "config.json", "model.weights.h5"

# Keras' name of an array, the canonical one, and the axes.
Role = tuple[str, str, str]
# A layer type of archspec and its arrays in Keras' order.
Roles = tuple[str, tuple[Role, ...]]
THREE = (
    "Where a batch normalisation has three arrays, they were taken for beta, mean and variance, as "
    "`scale=False` leaves them."
)
DEPTHWISE = "depthwise"  # height, width, channels, filters of each channel
_BIAS = ("bias", "bias", CANONICAL)
_NORM = (("gamma", "weight", CANONICAL), ("beta", "bias", CANONICAL))
_STATISTICS = (
    ("moving_mean", "running_mean", CANONICAL),
    ("moving_variance", "running_var", CANONICAL),
)
_CONV: Roles = ("conv2d", (("kernel", "weight", "HWIO"), _BIAS))
_TRANSPOSED: Roles = ("conv2d_transpose", (("kernel", "weight", "HWOI"), _BIAS))
_BATCH_NORM: Roles = ("batch_norm", (*_NORM, *_STATISTICS))
# By Keras' class in snake case, archspec's own classes (`backends/keras/modules.py`) among them.
ROLES: dict[str, Roles] = {
    "batch_normalization": _BATCH_NORM,
    "conv2d": _CONV,
    "conv2d_transpose": _TRANSPOSED,
    "dense": ("dense", (("kernel", "weight", "IO"), _BIAS)),
    "depthwise_conv2d": ("conv2d", (("kernel", "weight", DEPTHWISE), _BIAS)),
    "group_normalization": ("group_norm", _NORM),
    "layer_normalization": ("layer_norm", _NORM),
    "layer_scale": ("scale", (("gamma", "weight", CANONICAL),)),
    "scale": ("scale", (("kernel", "weight", CANONICAL), _BIAS)),
    "tower_conv2d": _CONV,
    "transposed_conv2d": _TRANSPOSED,
    "unbiased_batch_norm": _BATCH_NORM,
}
# Keras 2 has names of their own for these.
ALSO = {"kernel": ("depthwise_kernel", "pointwise_kernel")}
_MODELS = ("functional", "model", "sequential")
# How many axes the first array of a layer type has.
_RANKS = {"conv2d": 4, "conv2d_transpose": 4, "dense": 2}
_RANKS |= dict.fromkeys(("batch_norm", "group_norm", "layer_norm", "scale"), 1)
_TO_FRONT = [3, 1, 2]
# What the state of a run is kept in, and no layer.
_NO_LAYERS = {"vars", "seed_generator", "optimizer", "optimizer_weights", "metrics"}


Options = tuple[str, dict[str, Any]]


@dataclass
class Layer:
    """A layer of the file: the models it stands in and its name, its class in snake case.

    `arrays` are each what the file calls it ("" where it only counts), the array, and the number
    format in the file where NumPy has none such. `options` are its settings, where known.
    """

    path: tuple[str, ...]
    family: str
    arrays: list[tuple[str, Array, str]] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path[-1]


def read(path: Path) -> Foreign:
    """The tensors of a Keras file. Raises ArchspecError."""
    with _parts(path) as (stream, config), hdf5.opened(path, stream) as file:
        children, _ = file.children(file.root)
        old = children.get("model_weights", file.root)
        names = file.texts(old, "layer_names")
        if names is not None:
            config = _json(path, file.text(file.root, "model_config"))
            layers, ordered = _old_layers(file, old, names, _options(config)), True
        elif "layers" in children or "vars" in children:
            walk = Walk(file)
            walk.model(file.root, (), _entries(config))
            layers, ordered = walk.layers, walk.ordered
        else:
            raise files.refused(
                path,
                "is an HDF5 file, but none of Keras: it has no `layers` and no `layer_names`",
                "write the weights with Keras' own `model.save_weights`",
            )
        return _foreign(path, layers, ordered)


@contextlib.contextmanager
def _parts(path: Path) -> Iterator[tuple[BinaryIO, dict[str, Any]]]:
    """The HDF5 file as a stream, and the configuration of the model where there is one."""
    with files.opened(path) as stream:
        if stream.read(len(hdf5.SIGNATURE)) == hdf5.SIGNATURE:
            yield stream, {}
            return
    with files.Archive(path) as archive:
        config = _json(path, archive.read(CONFIG) if CONFIG in archive.names else b"")
        weights = archive.read(WEIGHTS)
    yield io.BytesIO(weights), config


def _json(path: Path, text: str | bytes) -> dict[str, Any]:
    """A model's configuration, {} where it has none."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise files.damaged(
            path, f"its configuration is no JSON ({type(error).__name__})"
        ) from None
    return found if isinstance(found, dict) else {}


def _entries(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers in the configuration of a model, [] where it lists none."""
    inside = config.get("config")
    listed = inside.get("layers") if isinstance(inside, dict) else inside
    return (
        [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    )


def _class(entry: Mapping[str, Any]) -> str:
    return snake_case(str(entry.get("class_name", "")))


def _settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = entry.get("config")
    return found if isinstance(found, dict) else {}


def _options(config: Mapping[str, Any], depth: int = 0) -> dict[str, Options]:
    """The class and the settings of each layer in a configuration, by the layer's name."""
    found: dict[str, Options] = {}
    for entry in _entries(config) if depth < MAX_DEPTH else []:
        settings = _settings(entry)
        found[str(settings.get("name", entry.get("name")))] = _class(entry), settings
        found |= _options(entry, depth + 1)
    return found


def snake_case(name: str) -> str:
    """The name of a class as Keras writes it in a file: DepthwiseConv2D is depthwise_conv2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _keys(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The layers of a configuration by the names of their groups: conv2d, conv2d_1, dense."""
    used: Counter[str] = Counter()
    found = {}
    for entry in entries:
        family = _class(entry)
        found[f"{family}_{used[family]}" if used[family] else family] = entry
        used[family] += 1
    return found


class Walk:
    """The layers of a Keras 3 file, in the order in which Keras wrote them.

    `ordered` says whether that is the order of the network. It is not where layers are attributes
    of a class: Keras writes those in alphabetical order.
    """

    def __init__(self, file: hdf5.Hdf5) -> None:
        self.layers: list[Layer] = []
        self.ordered = True
        self._file = file

    def model(
        self, group: Any, path: tuple[str, ...], entries: list[dict[str, Any]], depth: int = 0
    ) -> None:
        """Collect what is in the group of a model, or of a layer.

        `path` has the names of the models around it and its own, `entries` its layers in the
        configuration, `depth` the groups around it.
        """
        children = self._groups(group)
        if "layers" in children:
            self._list(children.pop("layers"), path, _keys(entries), depth)
        before = len(self.layers)
        self._collect(children, path, {}, depth)
        beside = self.layers[before:]
        if any(layer.arrays for layer in beside) and sum(bool(x.arrays) for x in self.layers) > 1:
            self.ordered = False

    def _list(
        self, group: Any, path: tuple[str, ...], entries: dict[str, dict[str, Any]], depth: int
    ) -> None:
        """Collect the layers of a list."""
        groups, ordered = self._groups(group), self._file.children(group)[1]
        self.ordered &= ordered
        self._collect(groups, path, entries, depth + 1)

    def _collect(
        self,
        groups: dict[str, Any],
        path: tuple[str, ...],
        entries: dict[str, dict[str, Any]],
        depth: int,
    ) -> None:
        if depth > MAX_DEPTH:
            raise files.refused(
                self._file.path, f"is refused: it has more than {MAX_DEPTH} groups in each other"
            )
        for key, group in groups.items():
            children, _ = self._file.children(group)
            if "vars" not in children:  # a list of layers that is an attribute of a model
                self._list(group, path, {}, depth)
                continue
            entry = entries.get(key, {})
            settings = _settings(entry)
            name = self._file.text(children["vars"], "name") or str(settings.get("name", key))
            families = [_class(entry), _unnumbered(key), _unnumbered(name)]
            family = next((f for f in families if f in ROLES), families[0] or families[1])
            arrays = [("", *self._file.numbers(one)) for one in self._arrays(children["vars"])]
            self.layers.append(Layer((*path, name), family, arrays, settings))
            self.model(group, (*path, name), _entries(entry), depth + 1)

    def _groups(self, group: Any) -> dict[str, Any]:
        import h5py

        children, _ = self._file.children(group)
        return {
            name: child
            for name, child in children.items()
            if isinstance(child, h5py.Group) and name not in _NO_LAYERS
        }

    def _arrays(self, group: Any) -> list[Any]:
        """The arrays of one layer: 0, 1, 2, and so on."""
        children, _ = self._file.children(group)
        numbered = {int(name): name for name in children if name.isdecimal()}
        return [self._file.dataset(group, numbered[index]) for index in sorted(numbered)]


def _unnumbered(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _old_layers(
    file: hdf5.Hdf5, root: Any, names: list[str], options: Mapping[str, Options]
) -> list[Layer]:
    """The layers of a file as Keras 2 writes it, and Keras 3 under the ending ``.h5``."""
    found: list[Layer] = []
    children, _ = file.children(root)
    for name in names:
        if name not in children:
            raise files.damaged(file.path, f"it has no layer `{shortened(name)}`, which it lists")
        group = children[name]
        weights = file.texts(group, "weight_names") or []
        owners = [weight.rpartition("/")[0] for weight in weights] or [""]
        # A model in the model has the weights of all its layers in one group.
        is_model = (
            options.get(name, ("", {}))[0] in _MODELS
            or len(set(owners)) > 1
            or name in owners[0].split("/")[:-1]
        )
        layers: dict[str, Layer] = {}
        for owner, weight in zip(owners, weights or [""], strict=True):
            whole = owner if is_model and owner else name
            called = whole.rpartition("/")[2]
            family, settings = options.get(called, ("", {}))
            if whole not in layers:
                layers[whole] = Layer((whole,), family or _unnumbered(called), [], settings)
            if weight:
                label = weight.rpartition("/")[2].partition(":")[0]
                layers[whole].arrays.append((label, *file.numbers(file.dataset(group, weight))))
        found += layers.values()
    return found


def _foreign(path: Path, layers: list[Layer], ordered: bool) -> Foreign:
    notes: list[str] = []
    tensors: list[Tensor] = []
    eps: dict[str, float] = {}
    layers = [part for layer in _as_made(layers) for part in _parts_of(layer)]
    often = Counter(layer.name for layer in layers)
    for layer in layers:
        called = layer.name if often[layer.name] == 1 else "/".join(layer.path)
        if layer.arrays:
            tensors += _tensors(path, layer, called, notes)
            epsilon = layer.options.get("epsilon")
            eps |= {called: epsilon} if isinstance(epsilon, float) else {}
    flatten = _flatten(layers)
    if flatten is None:
        notes.append(
            "Some of its maps are put in the order C,H,W before they are flattened, and some are "
            "not."
        )
    if not ordered:
        notes.append(
            "Keras wrote the layers in the order of their names, so that their own order is not "
            "known."
        )
    return Foreign("Keras", tuple(tensors), flatten, notes=tuple(notes), ordered=ordered, eps=eps)


def _as_made(layers: list[Layer]) -> list[Layer]:
    """The layers of each class in the order in which they were made, if Keras named them.

    A model with branches has its layers by their distance from the output. Those that Keras
    named itself it has counted: conv2d_7 was written before conv2d_8.
    """
    counted: dict[str, list[Layer]] = {}
    for layer in layers:
        counted.setdefault(layer.family, []).append(layer)
    in_order = {}
    for family, same in counted.items():
        numbers = [re.fullmatch(rf"{re.escape(family)}(?:_(\d+))?", one.name) for one in same]
        if all(numbers):
            made = sorted(
                zip((int(n[1] or 0) for n in numbers if n), range(len(same)), strict=True)
            )
            same = [same[position] for _, position in made]
        in_order[family] = iter(same)
    return [next(in_order[layer.family]) for layer in layers]


def _parts_of(layer: Layer) -> list[Layer]:
    """A separable convolution as the two that it is, any other layer as it is."""
    if layer.family != "separable_conv2d" or len(layer.arrays) not in (2, 3):
        return [layer]
    *models, name = layer.path
    depthwise, *pointwise = layer.arrays
    return [
        Layer((*models, f"{name}/depthwise"), "depthwise_conv2d", [depthwise]),
        Layer((*models, f"{name}/pointwise"), "conv2d", pointwise),
    ]


def _tensors(path: Path, layer: Layer, called: str, notes: list[str]) -> list[Tensor]:
    """The tensors of a layer with arrays. What has to be said of it is added to `notes`."""
    import numpy as np

    if layer.family == "normalization":
        notes.append(
            f"The layer `{shortened(called)}` standardises images, which is pre-processing: it was "
            "left out."
        )
        return []
    kind, roles = _roles(layer, notes)
    found: dict[str, Tensor] = {}
    for (label, value, stored), (own, role, axes) in zip(layer.arrays, roles, strict=True):
        if layer.family in ROLES and value.dtype.kind != "f":
            raise files.refused(
                path,
                f"is quantised: `{shortened(called)}` has the number format {value.dtype}",
                "write the weights of the model before it is quantised",
            )
        name = f"{called}/{label or own}"
        if axes == DEPTHWISE:  # a group for each channel, with so many filters each
            value = value.transpose(2, 3, 0, 1).reshape(-1, 1, *value.shape[:2])
            axes = CANONICAL
        found[role or name] = Tensor(name, called, role, value, axes, kind, stored)
    if kind.endswith("_norm") and ("weight" in found) != ("bias" in found):
        if "weight" in found:
            absent, value = "bias", np.zeros_like(found["weight"].value)
        else:
            absent, value = "weight", np.ones_like(found["bias"].value)
        name = f"{called} ({'center' if absent == 'bias' else 'scale'}=False)"
        found[absent] = Tensor(name, called, absent, value, CANONICAL, kind)
    return list(found.values())


def _roles(layer: Layer, notes: list[str]) -> tuple[str, list[Role]]:
    """The layer type, and the role of each array. What had to be assumed is added to `notes`."""
    ranks = [value.ndim for _, value, _ in layer.arrays]
    kind, roles = ROLES.get(layer.family, ("", ()))
    if kind not in _RANKS or ranks[0] != _RANKS[kind]:
        kind, roles = "", _guessed(ranks)
    left_out = {
        own
        for own, option in (("gamma", "scale"), ("beta", "center"))
        if layer.options.get(option) is False
    }
    named = {own: role for role in roles for own in (role[0], *ALSO.get(role[0], ()))}
    if all(label in named for label, _, _ in layer.arrays):
        return kind, [named[label] for label, _, _ in layer.arrays]
    roles = tuple(role for role in roles if role[0] not in left_out)
    if kind == "batch_norm" and len(ranks) < len(roles):
        if len(ranks) == 3 and THREE not in notes:
            notes.append(THREE)
        roles = roles[-len(ranks) :]
    if len(ranks) > len(roles):
        return "", [(str(index), "", "") for index in range(len(ranks))]
    return kind, list(roles[: len(ranks)])


def _guessed(ranks: list[int]) -> tuple[Role, ...]:
    """What the arrays of a layer of an unknown class are by their ranks."""
    match ranks:
        case [4] | [4, 1]:
            return ROLES["conv2d"][1]
        case [2] | [2, 1]:
            return ROLES["dense"][1]
        case [1, 1, 1, 1]:
            return ROLES["batch_normalization"][1]
        case [1] | [1, 1]:
            return ROLES["layer_normalization"][1]
    return ()


def _flatten(layers: list[Layer]) -> Flatten | None:
    """The order in which a map is flattened: H,W,C, but where it is permuted before."""
    if any(layer.options.get("data_format") == "channels_first" for layer in layers):
        return "CHW"
    names = {layer.name for layer in layers}
    permuted = [layer for layer in layers if layer.family == "permute" and _to_front(layer)]
    # archspec's own Permute before `flatten` is called `flatten_order`.
    own = [n for n in names if n.endswith("_order") and n.removesuffix("_order") in names]
    flattened = [layer for layer in layers if layer.family in ("flatten", "reshape")]
    if not permuted and not own:
        return "HWC"
    return "CHW" if own or len(permuted) >= len(flattened) else None


def _to_front(layer: Layer) -> bool:
    """Whether a Permute puts the channels first, which it does where nothing else is known."""
    return list(layer.options.get("dims", _TO_FRONT)) == _TO_FRONT


FORMAT = Format(
    name="Keras",
    suffixes=(".weights.h5", ".keras", ".h5", ".hdf5"),
    sniff=lambda head: head.first.startswith(hdf5.SIGNATURE) or WEIGHTS in head.members,
    read=read,
    packages=("numpy", "h5py"),
)
