"""Training side by side: what agrees, and that each kind of wrong update is found and named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import layer, network

import archspec
from archspec import verification
from archspec.backends.torch import BACKEND as TORCH
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.preprocessing import Preprocessing
from archspec.spec.recipe import DEFAULT_RECIPE, Recipe
from archspec.verification import PROMISE, steps

RECIPE = {
    "epochs": 1,
    "batch_size": 8,
    "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "parameters": [{"match": "*.bias", "learning_rate": 2.0, "weight_decay": 0.0}],
    "preprocessing": {"mean": "data", "std": "data"},
}
LRN = {"size": 3, "alpha": 0.1, "beta": 0.75, "k": 2, "alpha_mode": "sum"}
STEPS = 6
AFTER_THE_DROP = STEPS // 2 + 1


def learner(**changes: Any) -> Graph:
    """A small network with everything that training touches; `changes` are those of its recipe."""
    layers = [
        layer("conv1", "conv2d", filters=4, kernel_size=3),
        layer("norm1", "batch_norm", eps=1e-3, decay=0.9),
        layer("relu1", "relu"),
        layer("lrn1", "local_response_norm", **LRN),
        layer("pool1", "max_pool2d", kernel_size=2, stride=2),
        layer("flatten", "flatten"),
        layer("drop", "dropout", rate=0.5),
        layer("fc2", "dense", units=5),
        layer("early", "dense", "flatten", units=5),
        layer("prob", "softmax", "fc2"),
    ]
    auxiliary = [{"layer": "early", "loss_weight": 0.3}]
    return network(layers, auxiliary=auxiliary, training=RECIPE | changes)


def trained(graph: Graph, **options: Any) -> verification.Training:
    options = {"backends": ("torch",), "steps": STEPS, "batch": 3} | options
    found = verification.verify(graph, **options).training
    assert found is not None
    return found


def test_backends_agree_to_the_last_digits() -> None:
    found = verification.verify(learner(), backends=("torch", "keras"), steps=STEPS, batch=3)
    training = found.training
    assert found.equal
    assert training is not None
    assert training.judge == found.judge == "numpy"
    assert len(training.losses) == len(training.weights) == 2 * STEPS
    assert max(e.relative for e in training.losses) < 1e-13
    assert max(e.relative for e in training.weights) < 1e-13
    names = {e.tensor for e in training.tensors}
    assert {"conv1.weight", "norm1.running_var", "early.bias"} <= names
    assert len(training.tensors) == 2 * len(names)
    assert found.silenced == ("drop",)


# Every optimiser, with the schedules, clipping and smoothing between them.
RECIPES: dict[str, dict[str, Any]] = {
    "nesterov": {
        "epochs": 3,
        "optimizer": {**RECIPE["optimizer"], "nesterov": True},  # type: ignore[dict-item]
        "schedule": {"type": "cosine", "final": 0.1},
        "warmup": {"epochs": 1},
        "gradient_clipping": 0.5,
    },
    "adam": {
        "epochs": 3,
        "optimizer": {"type": "adam", "learning_rate": 0.01, "weight_decay": 0.01},
        "schedule": {"type": "steps", "epochs": [2, 3], "factor": 0.3},
        "label_smoothing": 0.1,
    },
    "adamw": {
        "optimizer": {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
        "schedule": {"type": "plateau"},
        "warmup": {"epochs": 1, "factor": 0.1},
        "label_smoothing": 0.2,
        "gradient_clipping": 0.1,
    },
}


@pytest.mark.xdist_group("keras")
@pytest.mark.parametrize("name", RECIPES)
def test_backends_agree_on_every_recipe(name: str) -> None:
    graph = learner(**RECIPES[name])
    found = verification.verify(graph, backends=("torch", "keras"), steps=STEPS, batch=3)
    training = found.training
    assert found.equal
    assert training is not None
    assert max(e.relative for e in training.losses) < PROMISE.losses / 1000
    # But of a bias in front of a normalisation and the mean there: with Adam's step, crumbs of
    # rounding go far.
    crumbs = ("conv1.bias", "norm1.running_mean") if "adam" in name else ()
    others = [e for e in training.tensors if e.tensor not in crumbs]
    assert max(e.relative for e in others) < PROMISE.weights / 1000
    assert training.scheduled
    assert len(set(training.rates)) > 3


def test_steps_are_spread_over_the_schedule() -> None:
    """Half a cosine over two epochs, after a warm-up of one, and a tenth of it from step 5 on."""
    schedule = {"type": "cosine"}
    found = trained(learner(epochs=3, schedule=schedule, warmup={"epochs": 1}), steps=9)
    cosine = [(1 + math.cos(math.pi * part / 6)) / 2 for part in range(6)]
    shares = [0, 1 / 3, 2 / 3, 1, *(share / 10 for share in cosine[1:])]
    assert found.rates == pytest.approx([0.05 * share for share in shares])


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_float32_stays_within_what_rounding_explains_with_moments(name: str) -> None:
    found = trained(learner(**RECIPES[name]), dtype="float32", backends=("torch",), steps=20)
    assert found.equal
    loose = [e.tensor for e in found.tensors if e.bound > 1e-3]
    assert loose == ["conv1.bias", "norm1.running_mean"]


def test_the_learning_rate_drops_in_the_middle() -> None:
    assert trained(learner(), steps=5).rates == (0.05, 0.05, 0.005, 0.005, 0.005)
    assert trained(learner(), steps=5).dropped == 3
    assert trained(learner(), steps=1).rates == (0.05,)
    assert trained(learner(), steps=1).dropped is None


def test_the_losses_are_those_of_the_reference() -> None:
    """The judge's first loss, worked out from its own outputs in training mode."""
    graph = learner()
    found = trained(graph)
    assert all(math.isfinite(loss) for loss in found.expected)
    for error in found.losses:
        assert error.loss == pytest.approx(found.expected[error.step - 1], rel=1e-12)


def test_a_spec_without_a_recipe_has_that_of_train() -> None:
    graph = network([layer("flatten", "flatten"), layer("fc", "dense", units=3)])
    found = trained(graph)
    assert found.default
    assert found.recipe is DEFAULT_RECIPE
    assert not trained(learner()).default


def test_what_cannot_be_trained_is_one_line() -> None:
    graph = network([layer("conv1", "conv2d", filters=4, kernel_size=3)])
    with pytest.raises(ArchspecError, match=r"the output conv1 is 4 x 6 x 6; leave --steps out"):
        verification.verify(graph, backends=("torch",), steps=2)
    other = network(
        [
            layer("flatten", "flatten"),
            layer("early", "dense", "flatten", units=3),
            layer("fc", "dense", "flatten", units=4),
        ],
        auxiliary=[{"layer": "early"}],
    )
    with pytest.raises(ArchspecError, match="the output early is 3"):
        verification.verify(other, backends=("torch",), steps=2)
    for layers in (
        [layer("flatten", "flatten"), layer("drop", "dropout", rate=0.5)],
        [layer("flatten", "flatten"), layer("fc", "dense", units=4, trainable=False)],
    ):
        idle = network(layers)
        assert verification.verify(idle, backends=("torch",)).equal
        with pytest.raises(ArchspecError, match="none of this network learns; leave --steps out"):
            verification.verify(idle, backends=("torch",), steps=2)


def with_recipe(**optimizer: Any) -> Callable[[Graph, Recipe], tuple[Graph, Recipe]]:
    def change(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
        rule = recipe.optimizer.model_copy(update=optimizer)
        return graph, recipe.model_copy(update={"optimizer": rule})

    return change


def without_multipliers(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    return graph, recipe.model_copy(update={"parameters": ()})


def decay_on_biases(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    rules = tuple(r.model_copy(update={"weight_decay": 1.0}) for r in recipe.parameters)
    return graph, recipe.model_copy(update={"parameters": rules})


def adamw(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    return with_optimizer(graph, recipe, "adamw")


def adam(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    return with_optimizer(graph, recipe, "adam")


def with_optimizer(graph: Graph, recipe: Recipe, kind: str) -> tuple[Graph, Recipe]:
    document = recipe.model_dump()
    document["optimizer"]["type"] = kind
    return graph, Recipe.model_validate(document)


def unsmoothed(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    return graph, recipe.model_copy(update={"label_smoothing": 0.0})


def unclipped(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    return graph, recipe.model_copy(update={"gradient_clipping": None})


# What is wrong in PyTorch's trainer beside one of RECIPES, the step it shows at, and the verdict.
OTHER = {
    "decay coupled": ("adamw", adam, 1, "or how gradients are clipped"),
    "decay decoupled": ("adam", adamw, 1, "Gradients agree, so it is the update"),
    "beta1": ("adam", with_recipe(beta1=0.89), 2, "the moments are what the second one adds"),
    "beta2": ("adam", with_recipe(beta2=0.998), 2, "the moments are what the second one adds"),
    "epsilon": ("adam", with_recipe(epsilon=1.01e-8), 1, "it is the update"),
    "nesterov": ("nesterov", with_recipe(nesterov=False), 2, ""),
    "smoothing": ("adam", unsmoothed, 1, "the losses are put together in another way"),
    "clipping": ("adamw", unclipped, 1, "or how gradients are clipped"),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_wrong_recipe_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, change, step, reason = OTHER[what]
    original = type(TORCH).trainer

    def wrong(self: Any, graph: Graph, recipe: Recipe, *arguments: Any) -> Any:
        return original(self, *change(graph, recipe), *arguments)

    monkeypatch.setattr(type(TORCH), "trainer", wrong)
    options: dict[str, Any] = {"backends": ("torch",), "steps": STEPS, "batch": 3}
    found = verification.verify(learner(**RECIPES[name]), **options)
    (difference,) = found.differences
    assert (difference.about, difference.step) == ("training", step), difference.message
    assert reason in difference.message


def biased_variance(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    return graph.with_layer("norm1", running_variance="biased"), recipe


def other_decay(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    return graph.with_layer("norm1", decay=0.91), recipe


def other_loss(graph: Graph, recipe: Recipe) -> tuple[Graph, Recipe]:
    from dataclasses import replace

    (auxiliary,) = graph.auxiliary
    changed = auxiliary.model_copy(update={"loss_weight": 0.31})
    return replace(graph, auxiliary=(changed,)), recipe


# What is wrong in PyTorch's trainer, the step it shows at, and what the verdict says of it.
WRONG = {
    "momentum": (with_recipe(momentum=0.89), 2, "momentum is what the second one adds"),
    "decay": (with_recipe(weight_decay=0.0101), 1, "Gradients agree, so it is the update"),
    "rate": (without_multipliers, 1, "All that differ are called bias."),
    "decay on biases": (decay_on_biases, 1, "All that differ are called bias."),
    "variance": (biased_variance, 1, "Only running statistics differ (running_var)"),
    "statistics": (other_decay, 1, "Only running statistics differ (running_mean and running_var)"),
    "loss": (other_loss, 1, "the losses are put together in another way"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_update_is_found_and_named(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, step, reason = WRONG[what]
    original = type(TORCH).trainer

    def wrong(self: Any, graph: Graph, recipe: Recipe, *arguments: Any) -> Any:
        return original(self, *change(graph, recipe), *arguments)

    monkeypatch.setattr(type(TORCH), "trainer", wrong)
    found = verification.verify(learner(), backends=("torch",), steps=STEPS, batch=3)
    assert not found.equal
    (difference,) = found.differences
    assert (difference.about, difference.step) == ("training", step)
    assert difference.relative > difference.bound
    assert reason in difference.message


def test_a_rate_outside_the_velocity_is_found_after_the_drop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from archspec.backends.torch.optimizer import TorchOptimizer, TorchSgd

    monkeypatch.setattr(TorchSgd, "set_rate", TorchOptimizer.set_rate)
    found = verification.verify(learner(), backends=("torch",), steps=STEPS, batch=3)
    (difference,) = found.differences
    assert difference.step == AFTER_THE_DROP
    assert "it is how the optimizer goes on when the rate changes" in difference.message
    alike = verification.verify(learner(), backends=("torch",), steps=1, batch=3)
    assert alike.equal


def test_a_frozen_layer_that_moves_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = learner().with_layer("conv1", trainable=False)
    assert verification.verify(graph, backends=("torch",), steps=2, batch=3).equal
    original = type(TORCH).trainer

    def thawed(self: Any, graph: Graph, *arguments: Any) -> Any:
        return original(self, graph.with_layer("conv1", trainable=True), *arguments)

    monkeypatch.setattr(type(TORCH), "trainer", thawed)
    found = verification.verify(graph, backends=("torch",), steps=2, batch=3)
    (difference,) = found.differences
    assert (difference.layer, difference.step) == ("conv1", 1)


def test_float32_stays_within_what_rounding_explains() -> None:
    found = trained(learner(), dtype="float32", backends=("torch", "keras"), steps=20)
    assert found.equal
    assert max(e.relative for e in found.losses) > 1e-9  # it is float32
    for errors in (found.losses, found.weights):  # the bounds are no larger than they need be
        assert 0.01 < max(e.relative / e.bound for e in errors) < 0.5


def test_a_wrong_momentum_is_found_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    original = type(TORCH).trainer

    def wrong(self: Any, graph: Graph, recipe: Recipe, *arguments: Any) -> Any:
        return original(self, *with_recipe(momentum=0.89)(graph, recipe), *arguments)

    monkeypatch.setattr(type(TORCH), "trainer", wrong)
    assert not trained(learner(), dtype="float32").equal


def test_a_loss_that_is_not_finite_is_never_equal() -> None:
    hot = RECIPE["optimizer"] | {"learning_rate": 1e200}  # type: ignore[operator]
    found = verification.verify(learner(optimizer=hot), backends=("torch",), steps=3, batch=3)
    assert not found.equal
    assert "Training itself diverges" in found.differences[0].message
    document = json.loads(json.dumps(found.to_json()))
    assert None in document["training"]["expected_losses"]


def test_images_are_pixels_as_the_recipe_has_them() -> None:
    numbers = np.random.default_rng(0)
    scaled = Preprocessing(rescale=1 / 255, mean="data", std="data")
    images = steps._images(numbers, 64, (3, 9, 9), scaled)
    assert images.shape == (64, 9, 9, 3)
    assert abs(images.mean()) < 0.01
    assert images.std() == pytest.approx(1.0, abs=0.01)
    fixed = Preprocessing(mean=(100.0, 110.0, 120.0))
    images = steps._images(numbers, 64, (3, 9, 9), fixed)
    means = images.mean(axis=(0, 1, 2))
    assert means == pytest.approx([27.5, 17.5, 7.5], abs=3)
    assert images.max() <= 155
    assert (images == images.astype("float32")).all()


def test_the_document_has_every_step() -> None:
    found = verification.verify(learner(), backends=("torch",), steps=2, batch=3)
    training = json.loads(json.dumps(found.to_json()))["training"]
    assert training["steps"] == 2
    assert training["learning_rates"] == [0.05, 0.005]
    assert training["dropped_at"] == 2
    assert [e["step"] for e in training["losses"]] == [1, 2]
    assert {e["tensor"] for e in training["tensors"]} >= {"norm1.running_mean", "fc2.weight"}
    assert training["equal"] is True


@pytest.mark.slow
def test_fifty_steps_of_alexnets_recipe() -> None:
    """What docs/verify.md promises and quotes, on an AlexNet with narrow layers."""
    found = verification.verify(
        archspec.load("alexnet-small"), backends=("torch", "keras"), steps=50, batch=4
    )
    training = found.training
    assert training is not None
    assert training.dropped == 26
    assert training.recipe.optimizer.momentum == 0.9
    assert found.equal
    assert max(e.relative for e in training.losses) < PROMISE.losses / 1000
    assert max(e.relative for e in training.weights) < PROMISE.weights / 1000
