"""Five steps of SGD in both frameworks, against the update that the recipe documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from networks import heads, layer, network, recipe, sgd_network

from archspec.backends import get_backend
from archspec.backends.base import Execution, Trainer
from archspec.backends.initial import initial_weights
from archspec.backends.torch import tensors
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.recipe import Recipe

RATES = [0.05, 0.05, 0.05, 0.005, 0.005]
SCALES = {"conv2": (0.5, 1.0), "bias": (2.0, 0.0), "norm": (1.0, 0.0)}

Weights = dict[str, np.ndarray]
FRAMEWORKS = ["torch", "keras"]


def batches() -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(0)
    images = numbers.standard_normal((5, 8, 9, 9, 3)).astype("float32")
    return images, numbers.integers(0, 5, (5, 8))


def scale(name: str) -> tuple[float, float]:
    """The multipliers that `recipe` gives a parameter; its last rule that matches counts."""
    layer_name, _, tensor = name.rpartition(".")
    if layer_name == "conv2":
        return SCALES["conv2"]
    if tensor == "bias":
        return SCALES["bias"]
    return SCALES["norm"] if layer_name.startswith("norm") else (1.0, 1.0)


def documented(
    graph: Graph, weights: Weights, momentum: float
) -> tuple[Weights, Weights, list[float]]:
    """V <- m v - lr (g + wd w); w <- w + v, in float64 with the gradients of PyTorch."""
    model = get_backend("torch").build(graph).double().train()
    get_backend("torch").load_weights(graph, model, weights)
    named = tensors(graph, model)
    velocities = {
        name: np.zeros(tensor.shape) for name, tensor in named.items() if tensor.requires_grad
    }
    losses = []
    for images, labels, rate in zip(*batches(), RATES, strict=True):
        model.zero_grad()
        found = model(torch.from_numpy(images.transpose(0, 3, 1, 2)).double())
        logits, *others = found if isinstance(found, tuple) else [found]
        answers = torch.from_numpy(labels)
        loss = torch.nn.functional.cross_entropy(logits, answers)
        for other, weight in zip(others, [0.3, 0.5, 1.0], strict=False):
            loss = loss + weight * torch.nn.functional.cross_entropy(other, answers)
        loss.backward()
        losses.append(loss.item())
        for name, velocity in velocities.items():
            tensor = named[name]
            rate_scale, decay_scale = scale(name)
            weight = tensor.detach().numpy()
            slope = tensor.grad.numpy() + 0.01 * decay_scale * weight
            velocity *= momentum
            velocity -= rate * rate_scale * slope
            weight += velocity  # shares its memory with the tensor
    return get_backend("torch").save_weights(graph, model), velocities, losses


def of(velocities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"velocity.{name}": velocity for name, velocity in velocities.items()}


def trainer(name: str, graph: Graph, weights: Weights, rules: Recipe | None = None) -> Trainer:
    backend: Any = get_backend(name)
    backend.require()
    found: Trainer = backend.trainer(graph, rules or recipe(), weights, Execution("cpu"))
    return found


def steps(found: Trainer, first: int = 0, end: int = 5) -> list[float]:
    images, labels = batches()
    return [float(found.step(images[i], labels[i], RATES[i])) for i in range(first, end)]


def close(found: Weights, expected: Weights) -> None:
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_auxiliary_outputs_are_trained_too(name: str) -> None:
    graph = heads()
    weights = initial_weights(graph, 0)
    expected, velocities, losses = documented(graph, weights, 0.9)
    found = trainer(name, graph, weights)
    np.testing.assert_allclose(steps(found), losses, rtol=1e-3)
    close(found.weights(), expected)
    close(found.optimizer_state(), of(velocities))
    assert found.logits(batches()[0][0]).shape == (8, 5)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """By its definition."""
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_loss_is_that_of_the_reference(name: str) -> None:
    graph = heads(norms=False)
    weights = initial_weights(graph, 0)
    images, labels = (part[0] for part in batches())
    numpy: Any = get_backend("numpy")
    model = numpy.build(graph)
    numpy.load_weights(graph, model, weights)
    outputs = model.outputs(images.transpose(0, 3, 1, 2).astype("float64"))
    shares = {"fc": 1.0, "aux1.fc": 0.3, "aux2.fc": 0.5, "early": 1.0}
    expected = sum(w * cross_entropy(outputs[layer], labels) for layer, w in shares.items())
    found = trainer(name, graph, weights)
    assert float(found.step(images, labels, 0.05)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_five_steps_are_the_documented_update(name: str, momentum: float) -> None:
    graph = sgd_network()
    weights = initial_weights(graph, 0)
    expected, velocities, losses = documented(graph, weights, momentum)
    found = trainer(name, graph, weights, recipe(momentum))
    np.testing.assert_allclose(steps(found), losses, rtol=1e-4)
    close(found.weights(), expected)
    if momentum:
        close(found.optimizer_state(), of(velocities))
    for key in ("still.weight", "still.bias"):
        assert (found.weights()[key] == weights[key].astype("float32")).all()
    assert (found.weights()["norm1.running_mean"] != 0).all()


@pytest.mark.parametrize("make", [sgd_network, heads])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_the_reference_is_the_documented_update_in_float64(make: Any, momentum: float) -> None:
    graph = make()
    weights = initial_weights(graph, 0)
    expected, velocities, losses = documented(graph, weights, momentum)
    found = trainer("numpy", graph, weights, recipe(momentum))
    np.testing.assert_allclose(steps(found), losses, rtol=1e-12)
    exact(found.weights(), expected)
    exact(found.optimizer_state(), of(velocities) if momentum else {})
    images = batches()[0][0]
    model = get_backend("torch").build(graph).double().eval()
    get_backend("torch").load_weights(graph, model, expected)
    logits = model(torch.from_numpy(images.transpose(0, 3, 1, 2)).double())
    np.testing.assert_allclose(found.logits(images), logits.detach(), rtol=1e-11, atol=1e-11)


def exact(found: Weights, expected: Weights) -> None:
    """To the last digits but three."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == "float64"
        np.testing.assert_allclose(found[name], value, rtol=1e-11, atol=1e-13, err_msg=name)


def test_the_reference_goes_on_and_hands_out_copies() -> None:
    graph = sgd_network()
    whole, part = (trainer("numpy", graph, initial_weights(graph, 0)) for _ in range(2))
    losses = steps(whole)
    steps(part, 0, 2)
    weights, velocities = part.weights(), part.optimizer_state()
    kept = {name: value.copy() for name, value in weights.items()}
    resumed = trainer("numpy", graph, weights)
    resumed.load_optimizer_state(velocities, RATES[2])
    assert steps(resumed, 2, 5) == steps(part, 2, 5) == losses[2:]
    assert all((weights[name] == value).all() for name, value in kept.items())
    exact(resumed.weights(), whole.weights())
    exact(resumed.optimizer_state(), whole.optimizer_state())


def test_the_reference_trains_in_float32_too() -> None:
    graph = sgd_network()
    weights = initial_weights(graph, 0)
    backend: Any = get_backend("numpy")
    found = backend.trainer(graph, recipe(), weights, Execution("auto", "float32"))
    expected, velocities, losses = documented(graph, weights, 0.9)
    np.testing.assert_allclose(steps(found), losses, rtol=1e-4)
    assert {value.dtype.name for value in found.weights().values()} == {"float32"}
    close(found.weights(), expected)
    close(found.optimizer_state(), of(velocities))


def test_what_the_reference_cannot_train_is_said() -> None:
    norm = layer("norm", "batch_norm", eps=1.0e-3, decay=0.9)
    fields = {"units": 5}
    layers = [layer("flat", "flatten"), layer("fc", "dense", **fields), norm]
    images, labels = (part[0] for part in batches())
    graph = network(layers, (3, 9, 9))
    found = trainer("numpy", graph, initial_weights(graph, 0))
    with pytest.raises(ArchspecError, match="norm has one number a channel in a batch of one"):
        found.step(images[:1], labels[:1], 0.1)
    found.step(images[:2], labels[:2], 0.1)
    noisy = network([*layers, layer("drop", "dropout", rate=0.5)], (3, 9, 9))
    with pytest.raises(ArchspecError, match=r"drop \(dropout\) is random in training"):
        trainer("numpy", noisy, initial_weights(noisy, 0)).step(images, labels, 0.1)
    backend: Any = get_backend("numpy")
    with pytest.raises(ArchspecError, match="--device cuda: the numpy backend computes on the CPU"):
        backend.trainer(graph, recipe(), initial_weights(graph, 0), Execution("cuda"))


def test_what_is_not_measured_costs_nothing() -> None:
    """A batch of so many random images would take 200 TB."""
    graph = network([layer("flat", "flatten"), layer("fc", "dense", units=3)], (3, 3, 3))
    rules = recipe().model_copy(update={"batch_size": 10**12})
    trainer("torch", graph, initial_weights(graph, 0), rules)


@pytest.mark.parametrize(("first", "second"), [("torch", "keras"), ("keras", "torch")])
def test_a_run_goes_on_where_another_stopped(first: str, second: str) -> None:
    graph = sgd_network()
    weights = initial_weights(graph, 0)
    expected, velocities, losses = documented(graph, weights, 0.9)
    part = trainer(first, graph, weights)
    steps(part, 0, 3)
    resumed = trainer(second, graph, part.weights())
    # The learning rate drops with the next step: the velocity is that of the step before.
    resumed.load_optimizer_state(part.optimizer_state(), RATES[2])
    close(resumed.optimizer_state(), part.optimizer_state())
    np.testing.assert_allclose(steps(resumed, 3, 5), losses[3:], rtol=1e-4)
    close(resumed.weights(), expected)
    close(resumed.optimizer_state(), of(velocities))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_logits_are_those_of_inference_and_change_nothing(name: str) -> None:
    graph = sgd_network()
    weights = initial_weights(graph, 0)
    found = trainer(name, graph, weights)
    images = batches()[0][0]
    first, again = found.logits(images), found.logits(images)
    assert first.shape == (8, 5)
    assert (first == again).all()
    numpy: Any = get_backend("numpy")
    model = numpy.build(graph)
    numpy.load_weights(graph, model, weights)
    expected = model(images.transpose(0, 3, 1, 2).astype("float64"))
    np.testing.assert_allclose(first, expected, rtol=1e-3, atol=1e-5)
    for key, weight in found.weights().items():
        assert (weight == weights[key].astype("float32")).all()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_multiplier_of_zero_stops_a_parameter(name: str) -> None:
    graph = network(
        [
            layer("conv", "conv2d", filters=3, kernel_size=3),
            layer("pool", "global_avg_pool2d"),
            layer("logits", "dense", units=5),
        ],
        (3, 9, 9),
    )
    document = recipe().model_dump()
    document["parameters"] = [{"match": "conv.*", "learning_rate": 0.0}]
    weights = initial_weights(graph, 0)
    found = trainer(name, graph, weights, Recipe.model_validate(document))
    steps(found)
    for key, weight in found.weights().items():
        assert (weight == weights[key].astype("float32")).all() == key.startswith("conv")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_multipliers_of_zero_alone_train_nothing(name: str) -> None:
    document = recipe().model_dump()
    document["parameters"] = [{"match": "*", "learning_rate": 0.0}]
    graph = network([layer("pool", "global_avg_pool2d"), layer("fc", "dense", units=5)], (3, 9, 9))
    with pytest.raises(ArchspecError, match="the recipe trains nothing: `parameters` multiplies"):
        trainer(name, graph, initial_weights(graph, 0), Recipe.model_validate(document))


@pytest.mark.parametrize("name", ["numpy", *FRAMEWORKS])
def test_labels_are_smoothed_as_documented(name: str) -> None:
    """-sum_k t_k log p_k with t = 0.8 of the label and 0.2 / 5 of each, auxiliary outputs too."""
    graph = heads(norms=False)
    weights = initial_weights(graph, 0)
    images, labels = (part[0] for part in batches())
    numpy: Any = get_backend("numpy")
    model = numpy.build(graph)
    numpy.load_weights(graph, model, weights)
    outputs = model.outputs(images.transpose(0, 3, 1, 2).astype("float64"))
    expected = 0.0
    target = 0.8 * np.eye(5)[labels] + 0.2 / 5
    for output, share in {"fc": 1.0, "aux1.fc": 0.3, "aux2.fc": 0.5, "early": 1.0}.items():
        logits = outputs[output]
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected -= share * float((target * logs).sum(axis=1).mean())
    rules = Recipe.model_validate(recipe().model_dump() | {"label_smoothing": 0.2})
    found = trainer(name, graph, weights, rules)
    assert float(found.step(images, labels, 0.05)) == pytest.approx(expected, rel=1e-5)
    assert float(trainer(name, graph, weights).step(images, labels, 0.05)) != pytest.approx(
        expected, rel=1e-2
    )


ADAPTIVE = {"learning_rate": 0.01, "weight_decay": 0.01}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "nesterov": {"type": "sgd", "momentum": 0.9, "nesterov": True, **ADAPTIVE},
    "adam": {"type": "adam", **ADAPTIVE},
    "adamw": {"type": "adamw", **ADAPTIVE},
}


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(name: str, optimizer: str) -> None:
    graph = network(
        [
            layer("conv", "conv2d", filters=3, kernel_size=3),
            layer("norm", "batch_norm", eps=1.0e-3, decay=0.9),
            layer("pool", "global_avg_pool2d"),
            layer("drop", "dropout", rate=0.5),
            layer("logits", "dense", units=5),
        ],
        (3, 9, 9),
    )
    document = recipe().model_dump() | {"optimizer": OPTIMIZERS[optimizer]}
    rules = Recipe.model_validate(document | {"label_smoothing": 0.1, "gradient_clipping": 0.5})
    images, labels = batches()
    rates = [0.0, 0.01, 0.02, 0.001, 0.0005]  # another one at each step

    def go(found: Trainer, first: int) -> bytes:
        losses = []
        for step in range(first, 5):
            found.reseed(step)
            losses.append(float(found.step(images[step], labels[step], rates[step])))
        whole = {**found.weights(), **found.optimizer_state(), "losses": np.array(losses[-2:])}
        return b"".join(whole[key].tobytes() for key in sorted(whole))

    start = initial_weights(graph, 0)
    uninterrupted = trainer(name, graph, start, rules)
    stopped: dict[str, Any] = {}
    original = uninterrupted.reseed

    def reseed(seed: int) -> None:
        if seed == 3:
            stopped.update(weights=uninterrupted.weights(), state=uninterrupted.optimizer_state())
        original(seed)

    uninterrupted.reseed = reseed  # type: ignore[method-assign]
    expected = go(uninterrupted, 0)
    resumed = trainer(name, graph, stopped["weights"], rules)
    resumed.load_optimizer_state(stopped["state"], rates[2])
    assert go(resumed, 3) == expected
