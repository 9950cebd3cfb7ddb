"""`archspec verify --source FILE`: which layers somebody changed in an emitted file.

The file is executed, and its model laid beside that of the source as archspec emits it. A layer is
changed when it differs by itself: its class, its tensors, what it computes from the inputs that
the spec's own network has there, in training too, or what it reads. The layers behind it, which
only get other numbers, are not named.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import math
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from archspec.analysis.section import Column, Section
from archspec.backends import backend_names, get_backend
from archspec.backends.source import contexts
from archspec.catalog import shown
from archspec.diagnostics import ArchspecError, did_you_mean, listing
from archspec.graph import Graph
from archspec.layers.activations import Activation
from archspec.layers.base import show
from archspec.spec.fields import INPUT
from archspec.verification.bench import REACH, ramp, uneven
from archspec.verification.errors import error as distance
from archspec.verification.errors import finite, layer_of, layer_scales

if TYPE_CHECKING:
    from archspec.backends.base import Array, Backend
    from archspec.backends.opened import Part, Replay, Tensor

Result = TypeVar("Result")

# Relative errors that count as equal: a file that computes the same does so in the same framework,
# perhaps in another order.
OUTPUTS, GRADIENTS = 1e-12, 1e-10
SCHEMA_VERSION = 1
# So many parameters are named in the terminal.
SHOWN = 4
# Above this, a Kolmogorov-Smirnov distance in units of sqrt((n + m) / (n m)) is no accident: the
# chance of it is 2 exp(-2 x 2.7^2), one in a million.
_UNLIKELY = 2.7
# So many numbers of a tensor show its distribution.
_ENOUGH = 100_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What was changed in one layer, a phrase each, and whether the network is another for it."""

    layer: str
    changes: tuple[str, ...]
    differs: bool

    def told(self) -> str:
        """The changes in one line."""
        return "; ".join([*self.changes, *([] if self.differs else ["computes the same"])])


@dataclass(frozen=True)
class Edited:
    """What `--source` found.

    `outputs` and `gradients` are the largest relative errors of the whole network against the
    source as archspec emits it; None where they could not be compared, `failure` says why. `wrong`
    are the parameters whose gradients differ ("input" for the images), `lines` are those of the
    file that are not what archspec writes.
    """

    graph: Graph
    file: str
    backend: str
    batch: int
    seed: int
    findings: tuple[Finding, ...]
    outputs: float | None
    gradients: float | None
    wrong: tuple[str, ...]
    failure: str | None
    lines: tuple[tuple[int, int], ...]

    @property
    def equal(self) -> bool:
        """Whether the file is the network of the spec."""
        whole = (self.outputs, OUTPUTS), (self.gradients, GRADIENTS)
        return (
            self.failure is None
            and not any(finding.differs for finding in self.findings)
            and all(found is not None and found <= bound for found, bound in whole)
        )

    def to_json(self) -> dict[str, Any]:
        """The document of ``verify --source FILE --format json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.graph.name,
            "hash": self.graph.hash,
            "file": self.file,
            "backend": self.backend,
            "batch": self.batch,
            "seed": self.seed,
            "changed": [asdict(finding) for finding in self.findings],
            **finite({"outputs": self.outputs, "gradients": self.gradients}),
            "output_bound": OUTPUTS,
            "gradient_bound": GRADIENTS,
            "wrong_gradients": list(self.wrong),
            "failure": self.failure,
            "lines": [list(pair) for pair in self.lines],
            "equal": self.equal,
        }

    def sections(self) -> tuple[Section, ...]:
        """The findings for people."""
        rows = tuple((finding.layer, finding.told()) for finding in self.findings)
        columns = (Column("layer"), Column("change", folds=True))
        return (Section(self._title(), columns, rows, tuple(self._notes())),)

    def _title(self) -> str:
        changed = sum(finding.differs for finding in self.findings)
        count = f"{changed} layer{'' if changed == 1 else 's'}" if changed else "no layer"
        return f"{self.file} ({self.backend}): {count} changed"

    def _notes(self) -> Iterator[str]:
        if self.failure:
            yield self.failure
        for what, found, bound in (
            ("outputs", self.outputs, OUTPUTS),
            ("gradients", self.gradients, GRADIENTS),
        ):
            if found is not None:
                verdict = "equal" if found <= bound else "NOT EQUAL"
                yield f"{what}: largest error {found:.1e}, bound {bound:.0e}, {verdict}"
            else:
                yield f"{what}: not compared"
        if self.wrong:
            more = f" and {len(self.wrong) - SHOWN} more" if len(self.wrong) > SHOWN else ""
            yield f"other gradients of {', '.join(self.wrong[:SHOWN])}{more}"
        if self.lines:
            ranges = [str(a) if a == b else f"{a}-{b}" for a, b in self.lines]
            yield f"lines that archspec writes otherwise: {', '.join(ranges)}"
        else:
            yield "the file is what archspec writes"


def verify_source(
    graph: Graph, file: Path, *, backend: str | None = None, batch: int = 2, seed: int = 0
) -> Edited:
    """Execute a file of emitted source that was edited, and compare its network with the spec's.

    The backend is told from what the file imports unless it is given. Everything is computed in
    float64. Raises ArchspecError for a file that cannot be read or executed, with the line.
    """
    source = _Source(file)
    chosen = get_backend(backend) if backend else source.backend()
    chosen.require()
    import numpy as np

    # What overflows is found not to be finite; NumPy need not warn of it.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _Comparison(graph, chosen, source, batch, seed).run()


class _Source:
    """A Python file, and how it is executed."""

    def __init__(self, file: Path) -> None:
        self.file, self.name = file, shown(file)
        try:
            self.text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ArchspecError(f"cannot read {self.name}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ArchspecError(f"{self.name} is no text in UTF-8, so no Python file") from None
        try:
            self.tree = ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None) or 1
            message = getattr(error, "msg", None) or str(error) or type(error).__name__
            raise ArchspecError(f"{self.name}:{line}: no valid Python: {message}") from None

    def backend(self) -> Backend:
        """The one whose framework the file imports. Raises ArchspecError without one."""
        imported = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
        every = [get_backend(name) for name in backend_names()]
        known = {b.name: b for b in every if b.packages and b.packages[0] in imported}
        if len(known) > 1:
            known.pop("numpy", None)  # files of other frameworks may use it beside
        if len(known) != 1:
            what = f"imports {listing(sorted(known))}" if known else "imports no framework"
            raise ArchspecError(
                f"{self.name} {what}; say with --backend which of "
                f"{listing([b.name for b in every])} it is for"
            )
        return next(iter(known.values()))

    def make(self, class_name: str) -> Any:
        """An instance of the network's class, the file being executed for it."""
        module = types.ModuleType(f"archspec_edited_{self.file.stem}")
        module.__file__ = str(self.file)
        sys.modules[module.__name__] = module  # dataclasses look for their module there
        folder = str(self.file.resolve().parent)
        sys.path.insert(0, folder)
        try:
            exec(compile(self.tree, str(self.file), "exec"), module.__dict__)
        finally:
            sys.path.remove(folder)
        found = module.__dict__.get(class_name)
        if not isinstance(found, type):
            classes = [node.name for node in self.tree.body if isinstance(node, ast.ClassDef)]
            has = f"its classes are {listing(classes)}" if classes else "it has no classes"
            hint = did_you_mean(class_name, classes)
            raise ArchspecError(
                f"{self.name} has no class {class_name}, which is the network in the source that "
                f"archspec writes; {hint or has}"
            )
        return found()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the file raises into an ArchspecError with the line; it prints to stderr."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except ArchspecError:
            raise
        except (Exception, SystemExit) as error:
            raise ArchspecError(self._where(error)) from None

    def _where(self, error: BaseException) -> str:
        """The last line of the file that the error came through, and what it says."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(self.file)]
        place = f"{self.name}:{lines[-1]}" if lines else self.name
        said = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
        said = said if len(said) <= 300 else f"{said[:300]} ..."
        return f"{place}: {type(error).__name__}{': ' if said else ''}{said}"

    def differences(self, emitted: str) -> tuple[tuple[int, int], ...]:
        """The lines of the file that are not those of the emitted source, as ranges.

        Where lines were taken away, the line that now stands there.
        """
        mine = self.text.splitlines()
        matcher = difflib.SequenceMatcher(None, emitted.splitlines(), mine, autojunk=False)
        last = max(len(mine), 1)
        return tuple(
            (min(first + 1, last), min(max(first + 1, end), last))
            for kind, _, _, first, end in matcher.get_opcodes()
            if kind != "equal"
        )


class _Comparison:
    """Two models of one graph, and what is found step by step."""

    def __init__(
        self, graph: Graph, backend: Backend, source: _Source, batch: int, seed: int
    ) -> None:
        self._graph, self._backend, self._source = graph, backend, source
        self._batch, self._seed = batch, seed
        self._changes: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
        # What does not matter where the numbers are equal, and the layers where it does.
        self._asides: dict[str, list[str]] = {}
        # Layers whose weights cannot be those of the spec.
        self._reshaped: set[str] = set()
        self._failure: str | None = None
        self._constant = frozenset(
            f"{context.node.name}.{weight.name}"
            for context in contexts(graph)
            for weight in context.weights
            if weight.drawing[0] == "constant"
        )

    def run(self) -> Edited:
        import numpy as np

        from archspec.backends.initial import initial_weights
        from archspec.backends.numpy import BACKEND as REFERENCE

        graph = self._graph
        self._plain = self._backend.open(graph, lambda: self._backend.build(graph))
        with self._source.errors():
            self._edited = self._backend.open(graph, self._make, self._plain)
            whole = self._structure()

        numbers = np.random.default_rng(self._seed)
        weights = uneven(initial_weights(graph, self._seed), numbers)
        images = numbers.standard_normal((self._batch, *graph.input_shape))
        model = REFERENCE.build(graph)
        REFERENCE.load_weights(graph, model, weights)
        self._values: dict[str, Array] = {
            INPUT: images,
            **REFERENCE.activations(graph, model, images),
        }
        for opened in (self._plain, self._edited):
            opened.load(weights)
        replay = self._tried(lambda: self._edited.replay(images, self._values))
        if replay is not None:
            self._look_at(replay)
        outputs = gradients = None
        wrong: tuple[str, ...] = ()
        if self._failure is None:
            outputs = self._tried(lambda: self._outputs(images))
        for node in graph.nodes:  # training moves running statistics
            if node.name in self._present:
                self._compare_training(node.name)
        if whole and outputs is not None and math.isfinite(outputs):
            cotangents = [
                numbers.standard_normal(self._values[name].shape) for name in graph.outputs
            ]
            errors = self._tried(lambda: self._gradients(images, cotangents))
            if errors is not None:
                gradients = max(errors.values(), default=0.0)
                wrong = tuple(name for name, error in errors.items() if error > GRADIENTS)
        return Edited(
            graph,
            self._source.name,
            self._backend.name,
            self._batch,
            self._seed,
            tuple(self._findings(bool(wrong))),
            outputs,
            gradients,
            wrong,
            self._failure,
            self._source.differences(self._backend.emit(graph)),
        )

    def _make(self) -> Any:
        return self._source.make(self._backend.class_name(self._graph))

    def _tried(self, compute: Callable[[], Result]) -> Result | None:
        """What the edited model computes, or None and a failure that says where it stopped."""
        try:
            with self._source.errors():
                return compute()
        except ArchspecError as error:
            self._failure = self._failure or str(error)
            return None

    def _findings(self, wrong: bool) -> Iterator[Finding]:
        # What seems harmless is not where the gradients differ for no other reason.
        guilty = wrong and not any(self._changes.values())
        for name in dict.fromkeys([*self._changes, *self._asides]):
            changes, asides = self._changes.get(name, []), self._asides.get(name, [])
            noisy = name in self._graph.by_name and self._graph.by_name[name].layer.noise_off
            if changes or asides:
                yield Finding(name, (*asides, *changes), bool(changes or noisy or guilty))

    def _structure(self) -> bool:
        """Compare layers and tensors; whether the model has all that the spec's has."""
        mine, theirs = self._edited.parts(), self._plain.parts()
        missing = [name for name in theirs if name not in mine]
        added = [name for name in mine if name not in theirs]
        for name in list(missing):
            twin = next((a for a in added if _alike(mine[a], theirs[name])), None)
            if twin is not None and self._edited.rename(twin, name):
                self._note(name, f"is called {twin} in the file, and so are its weights")
                missing.remove(name)
                added.remove(twin)
                mine = self._edited.parts()
        for name in missing:
            self._note(name, "is missing")
        for name in added:
            self._note(name, f"is added ({mine[name].kind})")
        shapes = [
            self._compare_part(name, part, mine[name])
            for name, part in theirs.items()
            if name in mine
        ]
        self._present = frozenset(mine)
        return all(shapes) and not missing

    def _note(self, name: str, change: str) -> None:
        self._changes.setdefault(name, []).append(change)

    def _compare_part(self, name: str, theirs: Part, mine: Part) -> bool:
        """Tell what differs in a layer; whether its tensors have the shapes of the spec."""
        same = True
        for key, tensor in theirs.tensors.items():
            if key not in mine.tensors:
                self._note(name, f"has no {key}")
                same = False
                continue
            shape = mine.tensors[key].value.shape
            if shape != tensor.value.shape:
                wanted = show(tensor.value.shape)
                self._note(name, f"{key} is {show(shape)}, in the spec {wanted}")
                self._reshaped.add(name)
                same = False
            else:
                self._compare_tensor(name, key, tensor, mine.tensors[key])
        for key, tensor in mine.tensors.items():
            if key not in theirs.tensors:
                self._note(name, f"has a {key} ({show(tensor.value.shape)}), in the spec none")
        if mine.kind != theirs.kind:
            self._aside(name, f"is {mine.kind}, in the spec {theirs.kind}")
        elif same:
            for key in dict.fromkeys([*theirs.settings, *mine.settings]):
                pair = mine.settings.get(key), theirs.settings.get(key)
                if pair[0] != pair[1]:
                    self._aside(name, f"{key} is {pair[0]}, in the spec {pair[1]}")
        return same

    def _aside(self, name: str, change: str) -> None:
        self._asides.setdefault(name, []).append(change)

    def _compare_tensor(self, name: str, key: str, theirs: Tensor, mine: Tensor) -> None:
        """Tell which of the two learns, and whether they begin otherwise."""
        if mine.learns and theirs.learns is False:
            self._note(name, f"{key} learns, in the spec it is frozen")
        elif theirs.learns and mine.learns is False:
            self._note(name, f"{key} is frozen, in the spec it learns")
        change = redrawn(theirs.value, mine.value, f"{name}.{key}" in self._constant)
        if change:
            self._note(name, f"{key} begins {change}")

    def _look_at(self, replay: Replay) -> None:
        """Tell which layers compute or read something else when all before them are right."""
        lost = {name for name in self._graph.by_name if name not in replay.reads}
        strange = {name for name in replay.reads if name not in self._graph.by_name}
        for node in self._graph.nodes:
            name = node.name
            if name in lost:
                self._look_at_lost(replay, name)
                continue
            # Each source once: some models cannot tell how often one is read.
            reads = list(dict.fromkeys(replay.reads[name]))
            wanted = list(dict.fromkeys(node.inputs))
            error = _apart(replay.outputs.get(name), self._values[name])
            ordered = reads == wanted
            if node.layer.commutes and error <= OUTPUTS:
                ordered = sorted(map(str, reads)) == sorted(wanted)
            if not ordered and not self._explained(reads, wanted, lost, strange):
                right = self._reads_the_same(replay, name)
                tell = self._aside if right else self._note
                tell(name, f"reads {_named(reads)}, in the spec {_named(wanted)}")
            elif ordered and error > OUTPUTS and name not in self._reshaped:
                self._note(name, f"computes something else ({_size(error)})")
        self._compare_results(replay)

    def _look_at_lost(self, replay: Replay, name: str) -> None:
        """Tell of a layer that is not used what its readers read instead."""
        if name in self._present:
            self._note(name, "is there and not used")
        readers = [reader for reader in self._graph.consumers[name] if reader in replay.reads]
        tell = self._note
        if readers and all(self._reads_the_same(replay, reader) for reader in readers):
            self._asides[name], self._changes[name] = self._changes[name], []
            tell = self._aside
        for reader in readers:
            tell(name, f"{reader} reads {_named(replay.reads[reader])}")

    def _explained(
        self, reads: Sequence[str | None], wanted: Sequence[str], lost: set[str], strange: set[str]
    ) -> bool:
        """Whether other inputs follow from layers that are missing or added, which are told."""
        for read, name in zip(reads, wanted, strict=False):
            if read != name and name not in lost and read not in strange:
                return False
        return len(reads) == len(wanted)

    def _reads_the_same(self, replay: Replay, name: str) -> bool:
        """Whether a layer that reads what is no layer's output got the right numbers."""
        received, wanted = replay.received.get(name, ()), self._graph.by_name[name].inputs
        return (
            None in replay.reads[name]
            and len(received) == len(wanted)
            and all(
                _apart(got, self._values[source]) <= OUTPUTS
                for got, source in zip(received, wanted, strict=True)
            )
        )

    def _compare_results(self, replay: Replay) -> None:
        names = self._graph.outputs
        if len(replay.results) != len(names):
            self._note(
                names[0], f"the network returns {len(replay.results)} outputs, not {len(names)}"
            )
            return
        for name, result in zip(names, replay.results, strict=True):
            right = name not in replay.outputs or name in self._values
            if right and _apart(result, self._values[name]) > OUTPUTS:
                self._note(name, "the network returns something else than its output")

    def _compare_training(self, name: str) -> None:
        """Lay a layer beside the spec's own in training, both with the spec's inputs."""
        node = self._graph.by_name[name]
        inputs = [self._values[source] for source in node.inputs]
        if isinstance(node.layer, Activation) and not self._changes[name]:
            # Few numbers of a network that was just initialised get to where a relu6 bends.
            curve = ramp(inputs[0].shape)
            self._compare_in_training(name, [curve], f"between {-REACH:g} and {REACH:g}")
        if not self._changes[name]:
            self._compare_in_training(name, inputs, "in training")

    def _compare_in_training(self, name: str, inputs: Sequence[Array], where: str) -> None:
        """Tell what a layer computes otherwise from the same inputs."""
        expected = self._plain.in_training(name, inputs)
        found = self._tried(lambda: self._edited.in_training(name, inputs))
        if found is None:
            return
        for key in dict.fromkeys([*expected, *found]):
            error = _apart(found.get(key), expected.get(key))
            if error > GRADIENTS:
                self._note(name, f"{where}, another {key} ({_size(error)})")

    def _outputs(self, images: Array) -> float:
        found = self._edited.outputs(images)
        expected = [self._values[name] for name in self._graph.outputs]
        if len(found) != len(expected):
            return math.inf
        return max(_apart(a, b) for a, b in zip(found, expected, strict=True))

    def _gradients(self, images: Array, cotangents: Sequence[Array]) -> dict[str, float]:
        """The error of every gradient that both have."""
        expected = self._plain.gradients(images, cotangents)
        found = self._edited.gradients(images, cotangents)
        scales = layer_scales(expected)
        # A parameter that learns in one of them alone was told already.
        return {
            name: _apart(found[name], slope, scales[layer_of(name)])
            for name, slope in expected.items()
            if name in found
        }


def _alike(mine: Part, theirs: Part) -> bool:
    """Whether a layer may be the other under a new name."""

    def facts(part: Part) -> Any:
        # Of a layer that is not the spec's nobody knows which axis is which.
        return part.kind, part.settings, sorted(t.value.size for t in part.tensors.values())

    return bool(facts(mine) == facts(theirs))


def redrawn(theirs: Array, mine: Array, constant: bool) -> str | None:
    """How the initial values of a tensor differ; None where chance alone may have made them.

    `constant` says that the spec's are no random numbers. Both were drawn from the same seed, so
    that without an edit they are equal. A layer that was added before shifts the random numbers:
    then the distributions decide, by the distance of Kolmogorov and Smirnov.
    """
    import numpy as np

    if theirs.size == 0 or (theirs == mine).all():
        return None
    a, b = theirs.ravel(), mine.ravel()
    steady = [constant, bool((b == b[0]).all())]
    if not constant and b.size == 1:
        return None
    if not any(steady):
        spread = float(a.std() * b.std())
        related = abs(float(((a - a.mean()) * (b - b.mean())).mean())) / spread if spread else 0.0
        some = [np.sort(x[:: math.ceil(x.size / _ENOUGH)]) for x in (a, b)]
        everything = np.concatenate(some)
        one, other = (np.searchsorted(x, everything, "right") / x.size for x in some)
        apart = float(np.abs(one - other).max())
        # The same random numbers, scaled or shifted, are no accident either.
        same_numbers = a.size > 2 and related > 1 - 1e-9
        if not same_numbers and apart <= _UNLIKELY * math.sqrt(2 / some[0].size):
            return None
    words = [
        f"as {x[0]:.4g}" if is_steady else f"with mean {x.mean():.4g} and deviation {x.std():.4g}"
        for x, is_steady in ((b, steady[1]), (a, steady[0]))
    ]
    return f"{words[0]}, in the spec {words[1]}"


def _apart(found: Array | None, expected: Array | None, scale: float | None = None) -> float:
    """The largest relative error."""
    return distance(found, expected, scale)[1]


def _named(reads: Sequence[str | None]) -> str:
    """The layers that something reads."""
    names = [name or "what is no layer's output" for name in dict.fromkeys(reads)]
    return " and ".join(names) if names else "nothing"


def _size(error: float) -> str:
    return f"error {error:.1e}" if math.isfinite(error) else "of another shape, or not finite"
