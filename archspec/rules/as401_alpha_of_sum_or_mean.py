"""What the alpha of a response normalisation multiplies differs from one framework to the next.

The paper prints alpha times the sum of squares, and TensorFlow computes that. The authors' own
code, Caffe, PyTorch and ONNX divide alpha by the size of the window first. The same 1e-4 then
normalises five times as little. `alpha_mode` says which is meant; the note has the number that the
others need for the same network. What came with weights is right in the mode of the framework
that trained them.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3}
      - {name: norm1, type: local_response_norm, size: 5, alpha: 1.0e-4, beta: 0.75, k: 2,
         alpha_mode: sum}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: conv1, type: conv2d, filters: 8, kernel_size: 3, bias: false}
      - {name: norm1, type: batch_norm, eps: 1.0e-5, decay: 0.9}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.3
    torch.nn.LocalResponseNorm (https://docs.pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html)
    tf.nn.local_response_normalization (https://www.tensorflow.org/api_docs/python/tf/nn/local_response_normalization)
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.analysis import Analysis
from archspec.diagnostics import Problem
from archspec.layers.local_response_norm import LocalResponseNorm
from archspec.rules.base import Rule
from archspec.rules.once import once
from archspec.rules.walk import layers


def _check(analysis: Analysis) -> Iterator[Problem]:
    return once(_problems(analysis))


def _problems(analysis: Analysis) -> Iterator[Problem]:
    for node, layer in layers(analysis.graph, LocalResponseNorm):
        if node.name not in analysis.shapes.layers or layer.size == 1 or layer.alpha == 0:
            continue
        radius = layer.size // 2
        if layer.alpha_mode == "sum":
            message = (
                f"alpha {layer.alpha:g} multiplies the sum of {layer.size} squares, as in "
                f"TensorFlow with depth_radius {radius}; PyTorch, Caffe and ONNX divide it by "
                f"{layer.size} and need {layer.alpha * layer.size:g} for the same"
            )
        else:
            message = (
                f"alpha {layer.alpha:g} is divided by the {layer.size} channels, as in PyTorch, "
                f"Caffe and ONNX; TensorFlow and the formula in the paper multiply the sum and "
                f"need {layer.alpha / layer.size:g} for the same, with depth_radius {radius}"
            )
        yield Problem(
            "alpha-of-sum-or-mean", f"{node.name}: {message}", layer=node.name, field="alpha"
        )


RULE = Rule("AS401", "alpha-of-sum-or-mean", "note", check=_check)
