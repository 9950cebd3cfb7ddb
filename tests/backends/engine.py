"""Verifies every layer's examples with Keras on one engine, and prints the errors as JSON.

Run in a process of its own with KERAS_BACKEND set: Keras keeps the engine it starts with.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
import numpy as np
from networks import (
    EXAMPLES,
    branching,
    corner_slopes,
    example_network,
    heads,
    recipe,
    sgd_network,
)

from archspec import verification
from archspec.backends.base import Execution
from archspec.backends.initial import initial_weights
from archspec.backends.keras import BACKEND as KERAS
from archspec.backends.keras import choose_engine
from archspec.backends.numpy import BACKEND as NUMPY
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe


def errors() -> dict[str, dict[str, float]]:
    """The largest error of outputs and gradients for each example, and for a larger network."""
    graphs = {id: example_network(kind, example) for id, kind, example in EXAMPLES}
    graphs |= {"branching": branching(), "heads": heads()}
    found = {}
    for id, graph in graphs.items():
        result = verification.verify(graph, backends=("torch", "keras"))
        found[id] = {
            "outputs": max(error.relative for error in result.outputs),
            "gradients": max((error.relative for error in result.gradients), default=0.0),
        }
    return found


# What else of a recipe is computed in another way than the rest of SGD.
MOMENTS = {
    "optimizer": {"type": "adamw", "learning_rate": 0.05, "weight_decay": 0.1},
    "label_smoothing": 0.1,
    "gradient_clipping": 0.5,
}


def training(graph: Graph, **changes: Any) -> float:
    """The largest difference of the weights after three steps in Keras and in the reference.

    In float64, with a drop of the learning rate before the last step.
    """
    rules = Recipe.model_validate(recipe().model_dump() | changes)
    weights = initial_weights(graph, 0)
    numbers = np.random.default_rng(0)
    images = numbers.standard_normal((3, 8, 9, 9, 3))
    labels = numbers.integers(0, 5, (3, 8))
    after = []
    for backend in (KERAS, NUMPY):
        trainer = backend.trainer(graph, rules, weights, Execution("cpu", "float64"))
        for batch, answers, rate in zip(images, labels, (0.05, 0.05, 0.005), strict=True):
            trainer.step(batch, answers, rate)
        after.append(trainer.weights())
    return max(float(np.abs(mine - after[1][name]).max()) for name, mine in after[0].items())


def at_corners() -> list[str]:
    """The layers whose slopes where they jump are not those of the reference."""
    expected = corner_slopes(NUMPY)
    return [
        kind
        for kind, slopes in corner_slopes(KERAS).items()
        if not np.allclose(slopes, expected[kind], 1e-15, 0)
    ]


def one_filter() -> str:
    """What `verify` says of a convolution with one filter in float64."""
    graph = networks.network([networks.layer("one", "conv2d", filters=1, kernel_size=3)])
    try:
        return "equal" if verification.verify(graph).equal else "not equal"
    except ArchspecError as error:
        return str(error)


if __name__ == "__main__":
    # JAX compiles every initialiser; `verify` replaces equal numbers by uneven ones anyway.
    networks.LIVELY.update(weight_init="zeros", bias_init="zeros")
    choose_engine()
    import keras

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    found = {
        "errors": errors(),
        "training": [training(sgd_network()), training(heads(norms=False), **MOMENTS)],
        "corners": at_corners(),
        "one_filter": one_filter(),
    }
    print(json.dumps(found))
