"""The tensors of a file find their places in a network, and say how.

By name where names help: canonical ones, those of the emitted PyTorch module, Keras' with
underscores for dots. Else whole layers are matched by order and shape (`alignment.py`). Then the
axes, the order of features behind a flattened map, the order of the colours and the number format
become canonical. What is ambiguous is refused, or said; what does not fit is refused with both
shapes and with what would fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import ArchspecError, listing, shortened
from archspec.graph import Graph, Node
from archspec.layers.base import Shape, Weight, show
from archspec.weights import equivalents, store
from archspec.weights.aliases import alias
from archspec.weights.alignment import align
from archspec.weights.files import refused, shown
from archspec.weights.foreign import CANONICAL, Colours, Flatten, Foreign, Layout, Tensor
from archspec.weights.layout import GUESSES, LETTERS, converted, permutation, reorders
from archspec.weights.loaded import NAMED, How, Loaded, Match, Misfit, few
from archspec.weights.orders import Order, orders
from archspec.weights.selection import selected

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

# Names are trusted where so large a share of the layers of the file or of the network, whichever
# has fewer, is called alike.
TRUSTED = 0.5
# torchvision's names of auxiliary classifiers: aux1.conv, AuxLogits.conv0, aux_classifier.0.
_AUXILIARY = re.compile(r"aux(\d*|logits|_classifier)\.", re.IGNORECASE)
# With fewer of the layers fitting, the file is one of another network, and no layer is looked at.
LIKELY = 0.5


@dataclass(frozen=True)
class Place:
    """A layer of the network that has weights, by their names in it.

    `norm` is the batch normalisation that a bias of the file may go to, if it has none itself.
    """

    node: Node
    weights: Mapping[str, Weight]
    skipped: bool
    norm: Node | None = None

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What decides what fits: equal places fit the same."""
        shapes = tuple((role, weight.shape) for role, weight in self.weights.items())
        return (self.node.layer.type, shapes, self.skipped, self.norm is not None)

    def absorbs(self, tensor: Tensor) -> bool:
        """Whether a bias that the layer has not is one for the normalisation behind it."""
        outputs = self.weights["weight"].shape[:1] if self.norm else None
        return tensor.role == "bias" and tensor.value.shape == outputs


@dataclass(frozen=True)
class Source:
    """A layer of the file."""

    layer: str
    tensors: tuple[Tensor, ...]

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What decides where it fits."""
        return tuple((t.role, t.value.shape, t.axes, t.kind) for t in self.tensors)

    @property
    def names(self) -> tuple[str, ...]:
        """What the layer may be called: as the reader understands it, in full, and elsewhere."""
        full = self.tensors[0].name.rpartition(".")[0]
        return tuple(dict.fromkeys((full, self.layer, alias(self.layer))))


def match(
    foreign: Foreign,
    graph: Graph,
    path: Path,
    *,
    skip: Sequence[str] = (),
    colours: Colours | None = None,
    flatten: Flatten | None = None,
) -> Loaded:
    """Canonical weights of `graph` out of the tensors of the file at `path`.

    `skip`, `colours` and `flatten` are those of `load`. Raises ArchspecError.
    """
    return _Matching(foreign, graph, path, skip, colours, flatten).loaded()


class _Matching:
    def __init__(
        self,
        foreign: Foreign,
        graph: Graph,
        path: Path,
        skip: Sequence[str],
        colours: Colours | None,
        flatten: Flatten | None,
    ) -> None:
        self.foreign, self.graph, self.path = foreign, graph, path
        self.skipped = dict.fromkeys(selected(graph, skip))
        shapes, norms = infer_shapes(graph), equivalents.normalised(graph)
        self.places = []
        for node in graph.nodes:
            weights = {w.name: w for w in node.layer.weights(shapes.inputs(node))}
            if weights:
                left_out = all(f"{node.name}.{role}" in self.skipped for role in weights)
                self.places.append(Place(node, weights, left_out, norms.get(node.name)))
        grouped: dict[str, list[Tensor]] = {}
        for tensor in foreign.tensors:
            grouped.setdefault(tensor.layer, []).append(tensor)
        layers = [tuple(found) for found in grouped.values()]
        if equivalents.learns_apart(graph):
            layers = [part for found in layers for part in equivalents.apart(found)]
        sources = [Source(found[0].layer, found) for found in layers]
        # Heads that the file's network has in training, and this one has not.
        without = [s for s in sources if graph.auxiliary or not _AUXILIARY.match(s.layer)]
        self.sources = without or sources
        self.colours: Colours | None = colours or foreign.colours
        self.colours_given = colours is not None
        self.flatten: Flatten | None = flatten or foreign.flatten
        self.shapes = {tensor.name: tensor.value.shape for tensor in foreign.tensors}
        self.notes: list[str] = []
        self._fits: dict[tuple[object, object], bool] = {}

    def loaded(self) -> Loaded:
        if not self.places:
            raise ArchspecError(f"{self.graph.name} has no weights, so that no file fits")
        if not self.sources:
            raise refused(self.path, "has no tensors in it", "give the file with weights in it")
        self._introduce()
        pairs = self._by_name()
        how: dict[int, How] = dict.fromkeys(pairs, "name")
        self._by_shape(pairs, how)
        matches: list[Match] = []
        weights: dict[str, Array] = {}
        missing: list[str] = []
        used: set[str] = set()
        conversion = _Conversion(self, pairs)
        for number, place in enumerate(self.places):
            source = pairs.get(number)
            parts = {} if source is None else self._parts(source, place, how[number])
            if source is not None and place.skipped:
                used.update(tensor.name for tensor in source.tensors)
            for role in place.weights:
                name = f"{place.node.name}.{role}"
                if role in parts:
                    used.add(parts[role].name)
                if name in self.skipped:
                    continue
                if role not in parts:
                    missing.append(name)
                    continue
                weights[name], changes = conversion.apply(place, role, parts[role])
                shape = place.weights[role].shape
                matches.append(
                    Match(
                        name,
                        parts[role].name,
                        shape,
                        self.shapes[parts[role].name],
                        how[number],
                        changes,
                    )
                )
        self._absorb(pairs, how, weights, matches, missing, used)
        self._compare_eps(pairs)
        if not matches and len(self.skipped) < sum(len(p.weights) for p in self.places):
            raise self._nothing_fits(0)
        extra = tuple(t.name for t in self.foreign.tensors if t.name not in used)
        return Loaded(
            self.foreign.format,
            shown(self.path),
            weights,
            tuple(matches),
            tuple(missing),
            tuple(self.skipped),
            extra,
            (*self.notes, *conversion.notes()),
        )

    def _absorb(
        self,
        pairs: Mapping[int, Source],
        how: Mapping[int, How],
        weights: dict[str, Array],
        matches: list[Match],
        missing: list[str],
        used: set[str],
    ) -> None:
        """Give biases that the network has not to the batch normalisations behind them."""
        paired = {source.layer for source in pairs.values()}
        folded = all(
            source.layer in paired
            for source in self.sources
            if any(tensor.role == "running_mean" for tensor in source.tensors)
        )
        into_means, passing = [], []
        for number, source in pairs.items():
            place = self.places[number]
            norm = place.norm
            tensor = next((t for t in source.tensors if place.absorbs(t)), None)
            if norm is None or tensor is None or place.skipped:
                continue
            bias = _numbers(self.path, tensor, [])
            mean = f"{norm.name}.running_mean"
            if mean in weights:
                weights[mean] = equivalents.with_bias(norm, weights, bias)
                into_means.append(place.node.name)
            elif folded and mean in missing:
                for role, (value, said) in equivalents.passing_on(norm, bias).items():
                    name = f"{norm.name}.{role}"
                    if name in missing:
                        missing.remove(name)
                        weights[name] = value
                        matches.append(
                            Match(name, tensor.name, bias.shape, bias.shape, how[number], (said,))
                        )
                passing.append(norm.name)
            else:
                continue
            used.add(tensor.name)
        if into_means:
            self.notes.append(
                f"The file has biases for {few(tuple(into_means))}, and the network none there: "
                "they were taken off the means of the batch normalisations behind, which computes "
                "the same."
            )
        if passing:
            self.notes.append(
                f"The file has {few(tuple(passing))} folded into the layers before: they add what "
                "is left of them, a bias, and do nothing else. At inference that is the same; "
                "training starts without their statistics."
            )

    def _compare_eps(self, pairs: Mapping[int, Source]) -> None:
        """Say which normalisations compute something else with these weights."""
        other: dict[tuple[float, float], list[str]] = {}
        for number, source in sorted(pairs.items()):
            place = self.places[number]
            theirs, ours = (
                self.foreign.eps.get(source.layer),
                getattr(place.node.layer, "eps", None),
            )
            if (
                theirs
                and ours
                and not math.isclose(theirs, ours, rel_tol=1e-6)
                and not place.skipped
            ):
                other.setdefault((theirs, ours), []).append(place.node.name)
        for (theirs, ours), names in other.items():
            self.notes.append(
                f"eps: {theirs:.6g} in the file and {ours:g} here, of {few(tuple(names))}: outputs "
                "differ unless the spec has the file's."
            )

    def _introduce(self) -> None:
        """Say what the file says of itself."""
        self.notes += self.foreign.notes
        said = self.foreign.metadata
        if store.HASH_KEY in said and said[store.HASH_KEY] != self.graph.hash:
            self.notes.append(
                f"The file was written for `{shortened(said.get(store.NETWORK_KEY, '?'))}` with "
                f"the hash {shortened(said[store.HASH_KEY], 15)}; this network's is "
                f"{self.graph.hash[:12]}: it computes something else, and its weights fit."
            )

    # By name.

    def _by_name(self) -> dict[int, Source]:
        """The sources whose names are those of places, if names are to be trusted."""
        called = _names(self.graph)
        numbers = {place.node.name: number for number, place in enumerate(self.places)}
        found: dict[int, list[Source]] = {}
        for source in self.sources:
            for name in source.names:
                number = numbers.get(called.get(_plain(name), ""))
                if number is not None:
                    found.setdefault(number, []).append(source)
                    break
        pairs = {number: named[0] for number, named in found.items() if len(named) == 1}
        fewer = min(len(self.sources), len(self.places))
        return pairs if len(pairs) >= TRUSTED * fewer else {}

    # By order and shape.

    def _by_shape(self, pairs: dict[int, Source], how: dict[int, How]) -> None:
        """Add to `pairs` what names do not tell."""
        taken = {source.layer for source in pairs.values()}
        sources = [source for source in self.sources if source.layer not in taken]
        numbers = [number for number in range(len(self.places)) if number not in pairs]
        if not sources or not numbers:
            return
        places = [self.places[number] for number in numbers]

        def fits(i: int, j: int) -> bool:
            return self._fit(sources[i], places[j])

        def faintly(i: int, j: int) -> bool:
            return places[j].skipped and _same_rank(sources[i], places[j])

        found = align(
            [source.kind for source in sources],
            [place.kind for place in places],
            fits,
            faintly,
            ordered=self.foreign.ordered,
            types=[place.node.layer.type for place in places],
        )
        if found is None:
            raise refused(
                self.path,
                f"has {len(sources):,} layers under other names than the {len(places):,} of "
                f"{self.graph.name}, too many to try every order",
                "rename them to the names of the spec",
            )
        known = sum(not place.skipped for place in self.places)
        fewer = min(len(self.sources), known)
        if len(pairs) + len(found.pairs) < LIKELY * fewer:
            raise self._nothing_fits(len(pairs) + len(found.pairs))
        unsure = [(i, j) for i, j in found.unsure if not places[j].skipped]
        if unsure:
            i, j = unsure[0]
            others = [s.layer for k, s in enumerate(sources) if fits(k, j)]
            rivals = [p.node.name for k, p in enumerate(places) if fits(i, k)]
            raise refused(
                self.path,
                f"leaves open which of its layers is which: {few(tuple(map(shortened, others)))} "
                f"may be {few(tuple(rivals))}, and names and order do not tell",
                "rename them to the names of the spec",
            )
        by: How = "order and shape" if found.by_order else "shape"
        for i, j in found.pairs:
            pairs[numbers[j]] = sources[i]
            how[numbers[j]] = by
        if pairs:  # else nothing fits at all, which is said by itself
            self._refuse_other_shapes(sources, places, found.pairs)
        self._say_alike([places[j] for _, j in found.pairs], by)

    def _refuse_other_shapes(
        self, sources: Sequence[Source], places: Sequence[Place], pairs: Sequence[tuple[int, int]]
    ) -> None:
        """Refuse what stands where a layer of the network stands and has another shape."""
        wrong: list[tuple[Source, Place]] = []
        ends = [(-1, -1), *sorted(pairs), (len(sources), len(places))]
        if not self.foreign.ordered:  # no gaps: everything that is left over
            used = {i for i, _ in pairs}, {j for _, j in pairs}
            left = [s for i, s in enumerate(sources) if i not in used[0]]
            empty = [p for j, p in enumerate(places) if j not in used[1]]
            # What would go to skipped layers is as little wanted as they are.
            left = [s for s in left if not any(p.skipped and _same_rank(s, p) for p in empty)]
            wrong = _paired(left, [p for p in empty if not p.skipped])
        else:
            for (i, j), (k, m) in pairwise(ends):
                gap = [p for p in places[j + 1 : m] if not p.skipped]
                wrong += _paired(sources[i + 1 : k], gap)
        if wrong:
            raise self._misfit(wrong)

    def _say_alike(self, places: Sequence[Place], by: How) -> None:
        """Say which layers only their order tells apart."""
        alike: dict[object, list[str]] = {}
        for place in places:
            if not place.skipped:
                alike.setdefault(place.kind, []).append(place.node.name)
        groups = [names for names in alike.values() if len(names) > 1]
        if groups:
            shown_groups = "; ".join(few(tuple(names)) for names in groups[:NAMED])
            more = f"; and {len(groups) - NAMED} more groups" if len(groups) > NAMED else ""
            order = "their order in the file" if by == "order and shape" else "their names' order"
            self.notes.append(f"Equally shaped, so that {order} decided: {shown_groups}{more}.")

    # What fits.

    def _fit(self, source: Source, place: Place) -> bool:
        """Whether the tensors of a source are those of the place, each with its shape."""
        key = (source.kind, place.kind)
        if key not in self._fits:
            roles = _roles(source, place)
            self._fits[key] = roles is not None and all(
                _axes(tensor, place, place.weights[role].shape) for role, tensor in roles.items()
            )
        return self._fits[key]

    def _parts(self, source: Source, place: Place, how: How) -> Mapping[str, Tensor]:
        """The tensors that go to a place. Raises ArchspecError where only the name fits."""
        if place.skipped:
            return {}
        roles = _roles(source, place, complete=how != "name")
        if roles is None:
            raise self._misfit([(source, place)])
        for role, tensor in roles.items():
            if f"{place.node.name}.{role}" not in self.skipped and not _axes(
                tensor, place, place.weights[role].shape
            ):
                raise self._misfit([(source, place)])
        return roles

    # What does not.

    def _misfit(self, wrong: Sequence[tuple[Source, Place]]) -> ArchspecError:
        said = [self._difference(source, place) for source, place in wrong[:3]]
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        return Misfit(
            f"{shown(self.path)} does not fit {self.graph.name}: {'; '.join(said)}{more}",
            [place.node.name for _, place in wrong],
            self._assignment(*wrong[0]),
        )

    def _difference(self, source: Source, place: Place) -> str:
        """How a source and a place differ, in the first tensor that does."""
        name = place.node.name
        roles = _roles(source, place, complete=False) or {}
        for role, weight in place.weights.items():
            tensor = roles.get(role)
            if tensor is not None and not _axes(tensor, place, weight.shape):
                has = _canonical_shape(tensor, place)
                called = (
                    "" if tensor.name == f"{name}.{role}" else f" (as {shortened(tensor.name)})"
                )
                return (
                    f"{name}.{role}: the file has {show(has) or 'one number'}{called}, "
                    f"the network {show(weight.shape)}"
                )
        there = listing(sorted(t.role or t.name for t in source.tensors)[:NAMED])
        return (
            f"{name}: the file has {there} (as {shortened(source.layer)}), "
            f"the network {listing(place.weights)}"
        )

    def _assignment(self, source: Source, place: Place) -> str:
        """`--set classes=1000`, where that gives the layer the outputs that the file has."""
        roles = _roles(source, place, complete=False) or {}
        if "weight" not in roles:
            return ""
        has, wants = _canonical_shape(roles["weight"], place), place.weights["weight"].shape
        different = [k for k, (a, b) in enumerate(zip(has, wants, strict=False)) if a != b]
        if len(has) != len(wants) or different != [
            LETTERS.get(place.node.layer.type, "O").find("O")
        ]:
            return ""
        written = self._written(place.node, wants[different[0]])
        for variable, value in self.graph.variables.items():
            if value == wants[different[0]] and not written.isdisjoint(_uses(variable)):
                return f"--set {variable}={has[different[0]]}"
        return ""

    def _written(self, node: Node, value: int) -> set[str]:
        """How a number stands in the text of a layer: `$classes`."""
        spans = [scalar.span for scalar in node.source.scalars() if scalar.value == value]
        found = set()
        for span in spans:
            line = (span.source or self.graph.document.source).line(span.line) or ""
            found.add(line[span.column - 1 : span.end_column - 1].strip("\"'"))
        return found

    def _nothing_fits(self, count: int) -> ArchspecError:
        first, place = self.sources[0], self.places[0]
        shapes = ", ".join(
            f"{shortened(t.name)} {show(t.value.shape) or 'one number'}" for t in first.tensors[:2]
        )
        wants = ", ".join(
            f"{place.node.name}.{role} {show(w.shape)}"
            for role, w in list(place.weights.items())[:2]
        )
        has = f"has {count} layers that fit" if count else "has no layer that fits"
        of = f" the {len(self.places)} of" if count else ""
        return refused(
            self.path,
            f"{has}{of} {self.graph.name}: it begins with {shapes}, the network with {wants}",
            f"`archspec weights inspect {shown(self.path)}` shows which shipped specs fit it",
        )


class _Conversion:
    """What is done to the arrays on their way, and the account of it."""

    def __init__(self, matching: _Matching, pairs: Mapping[int, Source]) -> None:
        self.matching = matching
        graph = matching.graph
        self.reads: Mapping[str, Order] = orders(graph, matching.flatten, matching.colours)
        self.convention = self._convention(matching, pairs)
        self.changed: dict[str, list[str]] = {}
        self.guessed: list[str] = []

    def _convention(self, matching: _Matching, pairs: Mapping[int, Source]) -> str:
        """Where outputs stand in the weights whose shape tells it, if they agree: `_family`."""
        found = set()
        for number, source in pairs.items():
            place = matching.places[number]
            for role, tensor in (_roles(source, place, complete=False) or {}).items():
                options = _axes(tensor, place, place.weights[role].shape)
                if not tensor.axes and tensor.value.ndim > 1 and len(options) == 1:
                    found.add(_family(options[0]))
        return found.pop() if len(found) == 1 else ""

    def apply(self, place: Place, role: str, tensor: Tensor) -> tuple[Any, tuple[str, ...]]:
        """The canonical array, and what was done to it."""
        import numpy as np

        matching, node, weight = self.matching, place.node, place.weights[role]
        name = f"{node.name}.{role}"
        changes: list[str] = []
        value = _numbers(matching.path, tensor, changes)
        options = _axes(tensor, place, weight.shape)
        axes = options[0]
        if len(options) > 1:
            axes = next((a for a in options if _family(a) == self.convention), axes)
            self.guessed.append(f"{name} as {','.join(axes)}")
        letters = LETTERS.get(node.layer.type, "")
        if axes not in (CANONICAL, letters, ""):
            changes.append(f"{','.join(axes)} to {','.join(letters)}")
        order = self.reads.get(node.name)
        array = converted(value, node, axes, self.reads)
        if array is None:
            what = " and ".join(sorted(order.why)) if order else "axes"
            raise Misfit(
                f"{shown(matching.path)} cannot be converted: {name} reads features whose order "
                f"({what}) is not to be followed through the layers before it",
                [node.name],
            )
        if order is not None and reorders(node, array.ndim):
            for why in sorted(order.why):
                changes.append(_WORDS[why])
                self.changed.setdefault(why, [])
                if node.name not in self.changed[why]:
                    self.changed[why].append(node.name)
        # What is read may be a view of the file's bytes, which nobody may write to.
        return np.require(array, np.float32, ["C", "W"]), tuple(changes)

    def notes(self) -> list[str]:
        """What was converted and what was taken for granted, in sentences."""
        matching, found = self.matching, []
        graph = matching.graph
        colours = self.changed.get("colours", [])
        if colours:
            source = "--colours says so" if matching.colours_given else "as its format has them"
            found.append(
                f"Colours: {listing(colours)} read B,G,R in the file ({source}) and R,G,B here; "
                "the order of the input channels was turned round."
            )
        flat = self.changed.get("flatten", [])
        if flat:
            found.append(
                f"Flatten: {listing(flat)} read a map in the order H,W,C in the file and C,H,W "
                "here; the inputs were put in that order."
            )
        if matching.colours is None and graph.input_shape[0] == 3:
            found.append(
                "The order of the colours is not known from the format and was taken as R,G,B; "
                "--colours bgr says otherwise."
            )
        if matching.flatten is None:
            unknown = sorted(orders(graph, "HWC", None))
            if unknown:
                found.append(
                    f"The order in which {few(tuple(unknown))} reads a flattened map is not known "
                    "from the format and was taken as C,H,W; --flatten hwc says otherwise."
                )
        if self.guessed:
            found.append(
                f"Square, so that the shape does not tell the axes: {few(tuple(self.guessed))}, "
                + ("as the other layers are." if self.convention else "the canonical order.")
            )
        return found


_WORDS = {"colours": "B,G,R to R,G,B", "flatten": "inputs from H,W,C to C,H,W"}


def _names(graph: Graph) -> dict[str, str]:
    """The layers by everything they may be called, `_plain`; names of two layers are left out."""
    from archspec.backends.keras.emit import layer_names
    from archspec.backends.torch.emit import attributes

    found: dict[str, set[str]] = {}
    for names in ({n.name: n.name for n in graph.nodes}, attributes(graph), layer_names(graph)):
        for layer, called in names.items():
            found.setdefault(_plain(called), set()).add(layer)
    return {called: next(iter(layers)) for called, layers in found.items() if len(layers) == 1}


def _plain(name: str) -> str:
    """A name without what frameworks change in it."""
    return re.sub(r"[./:\-]", "_", name).lower()


def _roles(source: Source, place: Place, *, complete: bool = True) -> dict[str, Tensor] | None:
    """The tensors of a source by the canonical names that they have in a place.

    With `complete`, None where the two have not the same ones.
    """
    kind = place.node.layer.type
    tensors = [equivalents.in_the_form_of(tensor, kind) for tensor in source.tensors]
    changed = {tensor.kind for tensor in tensors if tensor.value.ndim > 1} == {kind}
    if any(t.kind and t.kind != kind for t in tensors if not (changed and t.role == "bias")):
        return None
    found: dict[str, Tensor] = {}
    left = [role for role in place.weights if role not in {t.role for t in tensors}]
    for tensor in tensors:
        role = tensor.role
        if not role:
            rank = tensor.value.ndim
            role = next((r for r in left if len(place.weights[r].shape) == rank), "")
            left = [r for r in left if r != role]
        if role in place.weights and role not in found:
            found[role] = tensor
        elif complete and not place.absorbs(tensor):
            return None
    return None if complete and len(found) < len(place.weights) else found


def _axes(tensor: Tensor, place: Place, shape: Shape) -> tuple[Layout, ...]:
    """The axes that a tensor may have so that it is a weight of that shape; () where none is."""
    kind, rank = place.node.layer.type, tensor.value.ndim
    options: tuple[Layout, ...] = (tensor.axes,)
    if not tensor.axes:
        options = GUESSES.get(kind, (CANONICAL,)) if rank > 1 else (CANONICAL,)
    fitting = []
    for axes in options:
        order = permutation(axes, kind, rank)
        if order is not None and tuple(tensor.value.shape[k] for k in order) == shape:
            fitting.append(axes)
    return tuple(fitting)


def _family(axes: Layout) -> str:
    """Whose convention some axes are: outputs first, or last."""
    return "last" if axes.startswith("H") or axes == "IO" else "first"


def _canonical_shape(tensor: Tensor, place: Place) -> Shape:
    """The shape of a tensor with its axes in canonical order, as far as they are known."""
    order = permutation(tensor.axes, place.node.layer.type, tensor.value.ndim)
    shape = tensor.value.shape
    return shape if order is None else tuple(shape[k] for k in order)


def _same_rank(source: Source, place: Place) -> bool:
    """Whether a source could be a layer of that type, of another size."""
    roles = _roles(source, place)
    return roles is not None and all(
        len(place.weights[role].shape) == tensor.value.ndim for role, tensor in roles.items()
    )


def _paired(sources: Sequence[Source], places: Sequence[Place]) -> list[tuple[Source, Place]]:
    """Sources and places that are left between the same neighbours, where they are as many."""
    both = list(zip(sources, places, strict=False))
    alike = all(
        {t.value.ndim for t in s.tensors} == {len(w.shape) for w in p.weights.values()}
        for s, p in both
    )
    return both if len(sources) == len(places) and alike else []


def _uses(variable: str) -> set[str]:
    """How a field may be written that is the variable and nothing else."""
    return {f"${variable}", f"$({variable})"}


def _numbers(path: Path, tensor: Tensor, changes: list[str]) -> Array:
    """The array as float32. Raises ArchspecError for what has no such numbers."""
    import numpy as np

    value = tensor.value
    name = shortened(tensor.name)
    if value.dtype.kind != "f":
        advice = "archspec reads weights of floating point numbers; get the unquantised ones"
        raise refused(path, f"has {name} as {value.dtype}, not as floating point numbers", advice)
    bad = int(value.size - np.count_nonzero(np.isfinite(value)))
    if bad:
        nan = int(np.count_nonzero(np.isnan(value)))
        kinds = "NaN" if nan == bad else "infinite" if nan == 0 else f"NaN ({nan:,}) or infinite"
        raise refused(
            path,
            f"is refused: {bad:,} of the {value.size:,} numbers of {name} are {kinds}",
            "the training that made them had diverged; use an earlier checkpoint",
        )
    if tensor.stored:
        changes.append(f"{tensor.stored} to float32")
    if value.dtype.itemsize == 4:
        return value
    with np.errstate(over="ignore"):
        narrow = value.astype(np.float32)
    what = f"{value.dtype.name} to float32"
    if value.dtype.itemsize > 4:
        lost = int(np.count_nonzero(narrow != value))
        if not np.isfinite(narrow).all():
            raise refused(path, f"has numbers in {name} that are too large for float32")
        what += f", {lost:,} of {value.size:,} numbers rounded" if lost else ", exactly"
    changes.append(what)
    return narrow
