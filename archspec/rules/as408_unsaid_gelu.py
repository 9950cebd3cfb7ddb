"""The spec does not say which of its two forms a GELU has.

The paper gives x times the Gaussian distribution function, and an approximation with tanh.
PyTorch, Keras and archspec compute the first unless told otherwise, JAX the second, and models
were trained with either. They are up to 0.00047 apart at each layer: too little to see in a
training curve, enough that outputs never agree.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: act1, type: gelu}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: act1, type: gelu, approximate: none}

References:

    Hendrycks and Gimpel (2016): Gaussian Error Linear Units (https://arxiv.org/abs/1606.08415)
    jax.nn.gelu (https://docs.jax.dev/en/latest/_autosummary/jax.nn.gelu.html)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Fix, Problem
from archspec.layers.activations import Gelu
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(
        Problem(
            "unsaid-gelu",
            f"{node.name} is the error-function form, as in PyTorch and Keras; JAX's default is "
            "the tanh form, up to 0.00047 away",
            layer=node.name,
            fixes=(
                Fix(
                    "approximate: none",
                    "the same network, with its form written out",
                    {f"{node.name}.approximate": "none"},
                    safe=True,
                ),
            ),
        )
        for node, layer in layers(analysis.graph, Gelu)
        if "approximate" not in layer.model_fields_set
    )


RULE = Rule("AS408", "unsaid-gelu", "note", check=_check)
