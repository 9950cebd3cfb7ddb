"""How a backend computes each layer type: its own table, and what plug-ins add to it.

A plug-in announces a `LayerEntry` for each backend that can build its layer type, in the
entry-point group `archspec.layers.BACKEND`, under the name of the type.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from archspec import plugins
from archspec.backends.source import definitions, helper_source
from archspec.diagnostics import ArchspecError, listing
from archspec.graph import Graph
from archspec.layers import GROUP, added_layer_types
from archspec.layers.base import Layer

Entry = TypeVar("Entry", bound=Callable[..., Any])

# A tensor's attribute, and the axes that turn its canonical layout into the backend's.
Tensor = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class LayerEntry(Generic[Entry]):
    """How one backend computes a layer type of a plug-in.

    `emit` gives the layer's call, as the entries of the backend's own table do. `helpers` is a file
    of classes and functions; the emitted source contains those that the call uses. `tensors`
    is for Keras: the attribute of a tensor and the order of its axes there, where these are not
    its canonical name and layout. `derivatives` is for NumPy: the derivative of each function of
    `helpers` that the call uses, in the form of `archspec.backends.numpy.gradients`.
    """

    emit: Entry
    helpers: Path | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    derivatives: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


class Table(Generic[Entry]):
    """The entries of one backend, found by layer type.

    `helpers` is a file of classes and functions; `imported` are the names that the emitted source
    imports where its helpers use them.
    """

    def __init__(
        self,
        backend: str,
        entries: Mapping[str, Entry],
        helpers: Path | None = None,
        imported: Iterable[str] = (),
        tensors: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        self._group = f"{GROUP}.{backend}"
        self._backend, self._entries, self._helpers = backend, entries, helpers
        self._imported = frozenset(imported)
        self._tensors = tensors or {}

    def entry(self, layer: Layer) -> Entry:
        """The entry for a layer. Raises ArchspecError where there is none."""
        if layer.type in self._entries:
            return self._entries[layer.type]
        return self._added(layer.type).emit

    def tensors(self, layer: Layer) -> Mapping[str, Tensor]:
        """Where the layer's tensors are, unless under their own names in canonical layout."""
        if layer.type in self._entries:
            return self._tensors.get(layer.type, {})
        return self._added(layer.type).tensors

    def derivatives(self, graph: Graph) -> dict[str, Callable[..., Any]]:
        """Those that plug-ins give for their own layers in the graph, by function."""
        kinds = dict.fromkeys(node.layer.type for node in graph.nodes)
        added = (self._added(kind) for kind in kinds if kind not in self._entries)
        return {name: d for entry in added for name, d in entry.derivatives.items()}

    def definitions(self, graph: Graph) -> dict[str, tuple[str, frozenset[str]]]:
        """All helpers that the source of a graph may contain, as `source.definitions` has them."""
        files = self._files(graph)
        return {
            name: found for file in files for name, found in definitions(file).items()
        }

    def helper_source(self, graph: Graph, wanted: Iterable[str]) -> list[str]:
        """The source of the wanted helpers and of those that they use."""
        names = set(wanted)
        return [
            line for file in self._files(graph) for line in helper_source(file, names)
        ]

    def _files(self, graph: Graph) -> list[Path]:
        """The backend's own helpers, and those of the plug-ins that the graph uses."""
        files = [self._helpers] if self._helpers else []
        owners = {name: "archspec" for file in files for name in definitions(file)}
        for kind in dict.fromkeys(node.layer.type for node in graph.nodes):
            file = None if kind in self._entries else self._added(kind).helpers
            if file is None or file in files:
                continue
            origin = added_layer_types()[kind].origin
            self._check(file, origin)
            for name in definitions(file):
                if name in owners:
                    raise ArchspecError(
                        f"{owners[name]} and {origin} both have a helper called `{name}` for "
                        f"the {self._backend} backend, and an emitted file can hold only one; "
                        "the plug-in must rename its own"
                    )
                owners[name] = origin
            files.append(file)
        return files

    def _added(self, kind: str) -> LayerEntry[Entry]:
        if kind not in added_layer_types():
            raise ArchspecError(
                f"the {self._backend} backend has no entry for the layer type `{kind}`"
            )
        origin = added_layer_types()[kind].origin
        announced = plugins.find(self._group)
        if kind not in announced:
            raise ArchspecError(
                f"the plug-in {origin} has no entry for the {self._backend} backend, so its layer "
                f"type `{kind}` cannot be built there (the entry-point group is "
                f"`{self._group}`)"
            )
        found = announced[kind].load()
        if not isinstance(found, LayerEntry):
            raise ArchspecError(
                f"the plug-in {announced[kind].origin}: {announced[kind].point.value} must be "
                "an archspec.backends.table.LayerEntry"
            )
        return found

    def _check(self, file: Path, origin: str) -> None:
        """Raise ArchspecError unless the helpers can stand in an emitted file."""
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError) as error:
            raise ArchspecError(
                f"the plug-in {origin}: its helpers {file} cannot be read: {error}"
            ) from error
        for statement in tree.body:
            if not self._may_stand(statement):
                raise ArchspecError(
                    f"the plug-in {origin}: line {statement.lineno} of its helpers {file.name} "
                    f"is `{ast.unparse(statement).splitlines()[0]}`, but a file of helpers "
                    "consists of classes, functions and imports of "
                    f"{listing(sorted(self._imported))}: the emitted source has no other names"
                )

    def _may_stand(self, statement: ast.stmt) -> bool:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            return True
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            names = {alias.asname or alias.name for alias in statement.names}
            return names <= self._imported
        if isinstance(statement, ast.Expr):
            return isinstance(statement.value, ast.Constant)  # the docstring
        return isinstance(statement, (ast.ClassDef, ast.FunctionDef))
