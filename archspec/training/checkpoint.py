"""What a run leaves behind: its resolved spec and recipe, its metrics, its checkpoints.

A checkpoint is a folder with `weights.safetensors` and `velocities.safetensors` (canonical
names and layout, so any backend can read them) and `state.json`. It is written under another
name and then renamed: a run that dies leaves the checkpoint before.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from archspec.diagnostics import ArchspecError
from archspec.graph import Graph

if TYPE_CHECKING:
    from archspec.backends.base import Array

LAST, BEST = "last", "best"


@dataclass(frozen=True)
class Checkpoint:
    """A model between two epochs."""

    weights: dict[str, Array]
    velocities: dict[str, Array]
    state: dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def spec(self) -> Path:
        """The resolved spec: a plain one without variables."""
        return self.path / "spec.yaml"

    def create(self, graph: Graph, run: dict[str, Any], source: str, suffix: str) -> None:
        """Begin a run: write the spec, the resolved recipe and the emitted source."""
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            raise ArchspecError(
                f"{self.path} already holds a run; choose another --output, or go on with "
                f"--resume {self.path}"
            ) from None
        except OSError as error:
            raise ArchspecError(f"cannot make the folder {self.path}: {error.strerror}") from None
        self.spec.write_text(resolved_spec(graph), encoding="utf-8")
        (self.path / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        (self.path / f"model_{suffix}.py").write_text(source, encoding="utf-8")

    def run(self) -> dict[str, Any]:
        """What `create` wrote. Raises ArchspecError when this is no run folder."""
        try:
            found: dict[str, Any] = json.loads((self.path / "run.json").read_text("utf-8"))
        except (OSError, ValueError):
            raise ArchspecError(f"{self.path} is not the folder of a run (no run.json)") from None
        return found

    def append(self, metrics: dict[str, Any]) -> None:
        """Add a line to `metrics.jsonl`."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(metrics) + "\n")

    def save(self, checkpoint: Checkpoint, name: str) -> None:
        """Write a checkpoint whole, or leave the one before it."""
        from safetensors.numpy import save_file

        target = self.path / "checkpoints" / name
        new = target.with_name(f"{name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        save_file(checkpoint.weights, new / "weights.safetensors")
        save_file(checkpoint.velocities, new / "velocities.safetensors")
        (new / "state.json").write_text(json.dumps(checkpoint.state, indent=2), encoding="utf-8")
        old = target.with_name(f"{name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            os.replace(target, old)  # noqa: PTH105 - a folder cannot replace another at once
        os.replace(new, target)  # noqa: PTH105
        shutil.rmtree(old, ignore_errors=True)

    def copy(self, name: str, to: str) -> None:
        """Copy a checkpoint (the last one becomes the best)."""
        folder = self.path / "checkpoints"
        new = folder / f"{to}.new"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(folder / name, new)
        shutil.rmtree(folder / to, ignore_errors=True)
        os.replace(new, folder / to)  # noqa: PTH105

    def load(self, name: str = LAST) -> Checkpoint:
        """Read a checkpoint. Raises ArchspecError when it is not there or not readable."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = self.path / "checkpoints" / name
        if not folder.is_dir():
            folder = folder.with_name(f"{name}.old")  # the run died between two renames
        try:
            return Checkpoint(
                load_file(folder / "weights.safetensors"),
                load_file(folder / "velocities.safetensors"),
                json.loads((folder / "state.json").read_text("utf-8")),
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise ArchspecError(f"cannot read the checkpoint {folder}: {error}") from None


def resolved_spec(graph: Graph) -> str:
    """The network as a plain spec: variables and defaults filled in, every input named."""
    channels, height, width = graph.input_shape
    document: dict[str, Any] = {
        "archspec": 1,
        "name": graph.name,
        "title": graph.title,
        "input": {"channels": channels, "height": height, "width": width},
        "layers": [
            _plain(node.layer.model_dump(mode="json", exclude_none=True)) for node in graph.nodes
        ],
    }
    if graph.spec.training is not None:
        document["training"] = graph.spec.training.model_dump(mode="json", exclude_none=True)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(document, Dumper=dumper, sort_keys=False, default_flow_style=None)
    return text


def _plain(layer: dict[str, Any]) -> dict[str, Any]:
    """Name and type first, as people write them."""
    return {"name": layer.pop("name"), "type": layer.pop("type"), **layer}
