"""Each layer's own examples in every backend: shapes, outputs, gradients and counts."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import EXAMPLES, branching, example_network, family_heads, heads

import archspec
from archspec import verification
from archspec.analysis.shapes import infer_shapes
from archspec.backends import get_backend
from archspec.backends.numpy import BACKEND as NUMPY
from archspec.graph import Graph
from archspec.layers.base import Example

OUTPUT_BOUND, GRADIENT_BOUND = 1e-12, 1e-10


def check(graph: Graph) -> None:
    found = verification.verify(graph, backends=("torch", "keras"))
    assert found.judge == "numpy"
    # verify compares shapes with the reference, and the reference is compared with the analysis.
    model = NUMPY.build(graph)
    outputs = NUMPY.activations(graph, model, np.zeros((2, *graph.input_shape)))
    shapes = infer_shapes(graph)
    for node in graph.nodes:
        assert outputs[node.name].shape == (2, *shapes.of(node.name)), node.name
    assert [e for e in found.outputs if not e.relative <= OUTPUT_BOUND] == []
    assert [e for e in found.gradients if not e.relative <= GRADIENT_BOUND] == []
    trainable = [
        f"{node.name}.{weight.name}"
        for node in graph.nodes
        for weight in node.layer.weights(shapes.inputs(node))
        if weight.trainable
    ]
    expected = sorted([*trainable, "input"] * 2)  # of the images too, in both
    assert sorted(error.parameter for error in found.gradients) == expected


@pytest.mark.parametrize(
    ("kind", "example"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_the_backends_agree_on_every_example(kind: str, example: Example) -> None:
    check(example_network(kind, example))


def test_the_backends_agree_on_a_network_with_branches() -> None:
    check(branching())


def test_the_backends_agree_on_a_network_with_auxiliary_outputs() -> None:
    check(heads())


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_keras_agrees_on_its_other_engines(engine: str) -> None:
    script = Path(__file__).with_name("engine.py")
    run = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "KERAS_BACKEND": engine, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["errors"].keys() == {*(id for id, _, _ in EXAMPLES), "branching", "heads"}
    wrong = {
        id: errors
        for id, errors in found["errors"].items()
        if not (errors["outputs"] <= OUTPUT_BOUND and errors["gradients"] <= GRADIENT_BOUND)
    }
    assert wrong == {}
    assert found["corners"] == []
    assert max(found["training"]) < 1e-13  # weights of about 1, in float64
    if engine == "torch":  # a fault of PyTorch's
        assert "set KERAS_BACKEND to tensorflow or jax" in found["one_filter"]
    else:
        assert found["one_filter"] == "equal"


@pytest.mark.parametrize("name", family_heads())
def test_torch_counts_the_parameters_of_the_shipped_specs(name: str) -> None:
    graph = archspec.load(name)
    totals = archspec.analyze(graph).totals
    with torch.device("meta"):
        model = get_backend("torch").build(graph)
    parameters = list(model.parameters())
    buffers = [b for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")]
    assert sum(p.numel() for p in parameters) == totals.params
    assert sum(p.numel() for p in parameters if p.requires_grad) == totals.trainable_params
    assert sum(b.numel() for b in buffers) + totals.params == (
        totals.trainable_params + totals.non_trainable_params
    )


# Keras takes about a tenth of a second a layer; test_zoo builds a member of each family.
@pytest.mark.parametrize("name", [n for n in family_heads() if len(archspec.load(n).nodes) <= 60])
def test_keras_counts_the_parameters_of_the_shipped_specs(name: str) -> None:
    graph = archspec.load(name)
    for node in graph.nodes:  # narrow: Keras allocates what it counts
        if node.layer.type == "dense":
            graph = graph.with_layer(node.name, units=min(node.layer.units, 64))
    totals = archspec.analyze(graph).totals
    backend = get_backend("keras")
    backend.require()
    model = backend.build(graph)
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    assert trainable == totals.trainable_params
    assert model.count_params() - trainable == totals.non_trainable_params
