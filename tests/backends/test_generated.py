"""Every layer type with every option of every field, drawn from its types, through `verify`.

`ARCHSPEC_DRAWS=N` runs N networks a layer type instead of the few of `make test`, other ones each
time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from strategies import MAPS, VECTORS, Drawn, alike, candidates, coverings, network, options

from archspec import verification
from archspec.diagnostics import ProblemsFound
from archspec.layers import layer_types
from archspec.layers.base import Layer, Shape

# Statistics over two images are ill-conditioned.
BATCH = 5

DRAWS = os.environ.get("ARCHSPEC_DRAWS")
# What `make test` draws is the same each time. It is not shrunk, which takes minutes: what fails is
# named, and the variable finds the smallest.
profile = settings(
    max_examples=int(DRAWS or 4),
    phases=tuple(Phase) if DRAWS else (Phase.generate,),
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
# How often it is drawn until every option was run.
ROUNDS = 4


def disagreements(drawn: Sequence[Drawn]) -> list[str]:
    """The drawn layers at which the backends differ, each with its fields and its errors."""
    found = verification.verify(network(drawn), backends=("torch", "keras"), batch=BATCH)
    assert found.judge == "numpy"
    assert found.unable == {}
    wrong = [
        *((e.layer, e) for e in found.outputs if not e.within),
        *((e.parameter, e) for e in found.gradients if not e.within),
    ]
    lines = []
    for place, error in wrong:
        number = re.match(r"[a-z]+(\d+)", place)
        lines.append(f"{drawn[int(number[1])] if number else place}: {error}")
    checks = [check.to_json() for check in found.checks if not check.equal]
    return [*lines, *map(str, checks)]


def test_the_bounds_are_those_that_are_promised() -> None:
    assert (verification.PROMISE.outputs, verification.PROMISE.gradients) == (1e-12, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", layer_types())
def test_the_backends_agree_on_every_option(kind: str) -> None:
    run: list[Drawn] = []

    @profile
    @given(coverings(kind))
    def agree(drawn: list[Drawn]) -> None:
        assume(drawn)
        run.extend(drawn)
        wrong = disagreements(drawn)
        assert not wrong, "\n".join(wrong)

    for number in range(ROUNDS):
        (agree if DRAWS else seed(number)(agree))()
        if not list(unseen(kind, run)):
            return
    assert list(unseen(kind, run)) == []


def unseen(kind: str, run: Sequence[Drawn]) -> Iterator[str]:
    """What was not run of all that there is: options, values that matter, shapes."""
    layers = [one.layer for one in run]
    for name, every in options(kind).items():
        for option in every:
            if all(one.options[name] != option.label for one in run):
                yield f"{name}: {option.label}"
        values = {repr(getattr(made, name)): getattr(made, name) for made in layers}.values()
        if not any(
            meaning(made, one.inputs) != meaning(made.model_copy(update={name: value}), one.inputs)
            for one, made in zip(run, layers, strict=True)
            for value in values
        ):
            yield f"{name}: two values that matter"
    ways = {len(one.inputs): one.fields for one in run}
    for shapes in (MAPS, VECTORS):
        if not any(
            candidates(kind, fields, shapes, [alike] * (count - 1))
            for count, fields in ways.items()
        ):
            continue
        sizes = [one.inputs[0] for one in run if len(one.inputs[0]) == len(shapes[0])]
        for axis in range(len(shapes[0])):
            for parity in (0, 1):
                if all(shape[axis] % 2 != parity for shape in sizes):
                    yield f"inputs of {len(shapes[0])} axes: axis {axis} {('even', 'odd')[parity]}"


def meaning(layer: Layer, inputs: tuple[Shape, ...]) -> object:
    """What the layer computes and how its weights start, None where the inputs do not fit it."""
    try:
        layer.infer(inputs)
        return layer.computed(inputs), layer.weights(inputs)
    except ProblemsFound:
        return None
