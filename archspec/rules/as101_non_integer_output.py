"""A window does not fit its input a whole number of times.

The output size of a convolution or a pool is O = (W - F + 2P)/S + 1. Where that is no whole
number, frameworks differ without saying so: most round down and never read the last pixels, Caffe
pools round up and reach past the edge, others pad one side. The shapes may then agree and the
numbers do not. The best known case is AlexNet, whose paper prints an input of 224:
(224 - 11)/4 + 1 = 54.25. The report lists every minimal repair with its effect on the layers
behind. `rounding: floor` or `ceil` states which one is meant; AS112 and AS113 say what that costs.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 224, width: 224}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.5
    Dumoulin and Visin (2016): A guide to convolution arithmetic for deep learning (https://arxiv.org/abs/1603.07285)
"""

from __future__ import annotations

from dataclasses import replace

from archspec.analysis import Analysis
from archspec.analysis.repairs import repairs
from archspec.diagnostics import Problem
from archspec.rules.base import Rule


def _with_repairs(problem: Problem, analysis: Analysis) -> Problem:
    if problem.layer is None:
        return problem
    fixes = repairs(analysis.graph, analysis.shapes, problem.layer)
    return replace(problem, help="choose one of these repairs:" if fixes else None, fixes=fixes)


RULE = Rule("AS101", "non-integer-output", "error", complete=_with_repairs)
