"""`Layer.computed` against what layers compute: equal exactly where the outputs are.

Every pair of variants of a layer that have weights and outputs of one shape is run in NumPy, with
the same weights, on the same image. Only windows of two sizes or steps may give the same by
accident: a pool of 3 with padding sees on a small map what a pool of 2 sees.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from networks import layer, network

import archspec
from archspec.analysis.shapes import infer_shapes
from archspec.diagnostics import ProblemsFound
from archspec.layers import layer_types
from archspec.layers.base import Layer, Shape

PADDINGS: list[Any] = [0, 1, [0, 1, 0, 1], [1, 0, 1, 0], [1, 0], "valid", "same"]
ROUNDINGS = ["floor", "ceil"]
NORM = {"beta": 0.75, "k": 2.0}


def variants(type: str) -> list[dict[str, Any]]:
    sizes = [1, 3] if type == "conv2d" else [1, 2, 3]
    windows: Any = product(sizes, sizes, PADDINGS, ROUNDINGS)
    every = [
        {"kernel_size": kernel, "stride": stride, "padding": padding, "rounding": rounding}
        for kernel, stride, padding, rounding in windows
    ]
    if type == "conv2d":
        groups = [{"filters": 2, "groups": groups} for groups in (1, 2)]
        dilated = [{**window, "dilation": d} for window in every for d in (1, 2)]
        return [{**window, **group} for window in dilated for group in groups]
    if type == "avg_pool2d":
        return [{**window, "count_include_pad": c} for window in every for c in (True, False)]
    if type == "local_response_norm":
        scales: Any = product([1, 3, 5], [0.5, 0.1, 0.3], ["sum", "mean"], [1, 2])
        return [
            {"size": size, "alpha": alpha, "alpha_mode": mode, "groups": groups, **NORM}
            for size, alpha, mode, groups in scales
        ]
    if type == "dropout":
        return [
            {"rate": rate, "scaling": scaling}
            for rate in (0.0, 0.2, 0.5)
            for scaling in ("inverted", "at_inference")
        ]
    return every


def works(type: str, fields: dict[str, Any], shape: Shape) -> bool:
    try:
        inferred = one(type, fields).infer((shape,))
    except ProblemsFound:
        return False
    return not any(problem.severity is None for problem in inferred.problems)


@pytest.mark.parametrize("size", [(2, 4, 4), (2, 5, 6)])
@pytest.mark.parametrize(
    "type", ["conv2d", "max_pool2d", "avg_pool2d", "local_response_norm", "dropout"]
)
def test_equal_where_the_outputs_are(type: str, size: tuple[int, int, int]) -> None:
    usable = [fields for fields in variants(type) if works(type, fields, size)]
    layers = [layer(f"l{i}", type, "input", **fields) for i, fields in enumerate(usable)]
    means = [layer(f"m{i}", "global_avg_pool2d", f"l{i}") for i, _ in enumerate(usable)]
    last = layer("last", "concat", *(mean["name"] for mean in means))
    graph = network([*layers, *means, last], size)
    shapes = infer_shapes(graph)
    model = archspec.build(graph, backend="numpy")
    model.weights = {
        name: np.random.default_rng(weight.size).standard_normal(weight.shape)
        for name, weight in model.weights.items()
    }
    out = model.outputs(np.random.default_rng(1).standard_normal((2, *size)))
    seen = {True: 0, False: 0}
    nodes = [graph.by_name[entry["name"]] for entry in layers]
    for a, b in combinations(nodes, 2):
        weights = [[w.shape for w in node.layer.weights((size,))] for node in (a, b)]
        if weights[0] != weights[1] or shapes.of(a.name) != shapes.of(b.name):
            continue
        computed = [
            {
                key: value
                for key, value in node.layer.computed((size,)).items()
                if key not in a.layer.training_fields & b.layer.training_fields
            }
            for node in (a, b)
        ]
        equal = np.allclose(out[a.name], out[b.name], rtol=1e-9, atol=1e-12)
        if computed[0] == computed[1] or all(
            computed[0].get(key) == computed[1].get(key) for key in ("kernel_size", "stride")
        ):
            assert (computed[0] == computed[1]) == equal, (a.layer, b.layer)
        seen[equal] += 1
    assert min(seen.values()) > 0


@pytest.mark.parametrize("type", layer_types())
def test_names_fields_that_exist(type: str) -> None:
    kind = layer_types()[type]
    fields = set(kind.model_fields)
    assert {field for sources in kind.computed_from.values() for field in sources} <= fields
    for example in kind.examples:
        made = one(type, example.fields)
        assert made.training_fields - {"trainable"} <= fields
        for key in made.computed(tuple(example.inputs)):
            assert key in fields or key in kind.computed_from


def one(type: str, fields: Any) -> Layer:
    return layer_types()[type].model_validate({"name": "a", "type": type, **fields})


def test_what_has_no_effect_is_left_out() -> None:
    pool = one("avg_pool2d", {"kernel_size": 2, "count_include_pad": True})
    assert "count_include_pad" not in pool.computed(((1, 4, 4),))
    once = one("max_pool2d", {"kernel_size": 4, "stride": 3})
    assert once.computed(((1, 4, 4),))["stride"] == (1, 1)


def test_effective_alpha() -> None:
    mean = one("local_response_norm", {"size": 5, "alpha": 1e-4, "alpha_mode": "mean", **NORM})
    total = one("local_response_norm", {"size": 5, "alpha": 2e-5, "alpha_mode": "sum", **NORM})
    assert mean.computed(((8, 2, 2),)) == total.computed(((8, 2, 2),))
