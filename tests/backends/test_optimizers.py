"""The recipe's optimisers in every backend: closed formulas, the frameworks' own, and their state.

They are given gradients, so that nothing but the update is compared; `tests/verification` trains
networks with them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch

from archspec.analysis.memory import OPTIMIZERS as KNOWN
from archspec.backends import get_backend, trainable_backends
from archspec.backends.optimizing import part, velocities
from archspec.diagnostics import ArchspecError
from archspec.spec.recipe import Recipe

Arrays = dict[str, np.ndarray]

SHAPES = {"conv.weight": (3, 2, 2, 2), "conv.bias": (3,), "fc.weight": (4, 5), "fc.bias": (4,)}
PARAMETERS = [
    {"match": "*.bias", "learning_rate": 2.0, "weight_decay": 0.0},
    {"match": "fc.weight", "learning_rate": 0.3, "weight_decay": 3.0},
]
SCALES = {"conv.bias": (2.0, 0.0), "fc.weight": (0.3, 3.0), "fc.bias": (2.0, 0.0)}
# A warm-up from nothing, a drop, a stop, and a rate that changes at each step.
RATES = [0.0, 0.01, 0.02, 0.05, 0.05, 0.05, 0.005, 0.0, 0.004, 0.003, 1e-6, 0.5]

SGD = {"type": "sgd", "learning_rate": 0.05}
ADAM = {"learning_rate": 0.05, "weight_decay": 0.01}
RULES: dict[str, dict[str, Any]] = {
    "sgd": SGD,
    "decay": {**SGD, "weight_decay": 0.01},
    "momentum": {**SGD, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {**SGD, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "adam": {"type": "adam", **ADAM},
    "adam-other": {"type": "adam", **ADAM, "beta1": 0.0, "beta2": 0.9, "epsilon": 0.1},
    "adamw": {"type": "adamw", **ADAM, "epsilon": 1e-3},
}
BACKENDS = [
    "numpy",
    "torch",
    pytest.param("keras", marks=pytest.mark.xdist_group("keras")),
]
TYPES = [
    get_args(member.model_fields["type"].annotation)[0]
    for member in get_args(Recipe.model_fields["optimizer"].annotation)
]


def recipe(rule: dict[str, Any], **changes: Any) -> Recipe:
    document = {"epochs": 1, "batch_size": 8, "optimizer": rule, "parameters": PARAMETERS}
    return Recipe.model_validate(document | changes)


def numbers(seed: int, dtype: str = "float64") -> Arrays:
    draw = np.random.default_rng(seed)
    return {name: draw.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


class OfNumpy:
    """One of the optimisers with its weights, as each of these classes is for its backend."""

    def __init__(self, rules: Recipe, weights: Arrays) -> None:
        from archspec.backends.numpy.optimizer import optimizer

        self.own = {name: weight.copy() for name, weight in weights.items()}
        self.optimizer = optimizer(rules, self.own)

    def step(self, gradients: Arrays, rate: float) -> None:
        self.optimizer.step(gradients, rate)

    def weights(self) -> Arrays:
        return {name: weight.copy() for name, weight in self.own.items()}

    def state(self) -> Arrays:
        return self.optimizer.state()

    def load(self, state: Arrays) -> None:
        self.optimizer.load(state)


class OfTorch(OfNumpy):
    def __init__(self, rules: Recipe, weights: Arrays, device: str = "cpu", **options: Any) -> None:
        from archspec.backends.torch.optimizer import optimizer

        self.device = device
        self.parameters = {
            name: torch.nn.Parameter(torch.from_numpy(weight.copy()).to(device))
            for name, weight in weights.items()
        }
        self.optimizer: Any = optimizer(rules, self.parameters, **options)

    def step(self, gradients: Arrays, rate: float) -> None:
        for name, parameter in self.parameters.items():
            parameter.grad = torch.from_numpy(gradients[name].copy()).to(self.device)
        self.optimizer.step(rate)

    def weights(self) -> Arrays:
        return {name: p.detach().cpu().numpy().copy() for name, p in self.parameters.items()}


class OfKeras(OfNumpy):
    def __init__(self, rules: Recipe, weights: Arrays) -> None:
        from archspec.backends.keras import choose_engine, precision

        choose_engine()
        import keras

        from archspec.backends.keras.optimizer import optimizer

        self.scope = lambda: precision(next(iter(weights.values())).dtype.name)
        self.names = [name for name in weights if rules.multipliers(name)[0]]
        self.axes = {name: tuple(range(weights[name].ndim)) for name in weights}
        self.still = {name: w for name, w in weights.items() if name not in self.names}
        with self.scope():
            self.own = {name: keras.Variable(weights[name]) for name in self.names}
            self.optimizer: Any = optimizer(rules, self.names)
            self.optimizer.build(list(self.own.values()))

    def step(self, gradients: Arrays, rate: float) -> None:
        import keras

        with self.scope():
            self.optimizer.learning_rate = rate
            grads = [keras.ops.convert_to_tensor(gradients[name]) for name in self.names]
            self.optimizer.apply(grads)

    def weights(self) -> Arrays:
        return {name: v.numpy().copy() for name, v in self.own.items()} | self.still

    def state(self) -> Arrays:
        found: Arrays = self.optimizer.state(self.axes)
        return found

    def load(self, state: Arrays) -> None:
        self.optimizer.load(state, self.axes)


MAKERS: dict[str, Any] = {"numpy": OfNumpy, "torch": OfTorch, "keras": OfKeras}


def stepped(found: Any, first: int = 0, last: int = len(RATES), dtype: str = "float64") -> Any:
    for step in range(first, last):
        found.step(numbers(100 + step, dtype), RATES[step])
    return found


def closed(rule: dict[str, Any], clip: float | None = None) -> tuple[Arrays, dict[str, Arrays]]:
    """The weights and what is remembered after all steps, by the formulas of the recipe's page."""
    weights = numbers(0)
    zeros = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    velocity, first, second = dict(zeros), dict(zeros), dict(zeros)
    m, d = rule.get("momentum", 0.0), rule.get("weight_decay", 0.0)
    b1, b2 = rule.get("beta1", 0.9), rule.get("beta2", 0.999)
    for t, rate in enumerate(RATES, start=1):
        gradients = numbers(100 + t - 1)
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        for name, g in gradients.items():
            g = g * min(1.0, clip / norm) if clip else g
            faster, heavier = SCALES.get(name, (1.0, 1.0))
            lr, w = rate * faster, weights[name]
            if rule["type"] != "adamw":
                g = g + d * heavier * w
            if rule["type"] == "sgd":
                v = velocity[name] = m * velocity[name] - lr * g
                weights[name] = w + (m * v - lr * g if rule.get("nesterov") else v)
                continue
            first[name] = b1 * first[name] + (1 - b1) * g
            second[name] = b2 * second[name] + (1 - b2) * g**2
            step = first[name] / (1 - b1**t)
            step = step / (np.sqrt(second[name] / (1 - b2**t)) + rule.get("epsilon", 1e-8))
            weights[name] = w - lr * step - (lr * d * heavier * w if "w" in rule["type"] else 0)
    return weights, {"velocity": velocity, "first_moment": first, "second_moment": second}


def close(found: Arrays, expected: Arrays, rtol: float = 1e-12) -> None:
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.xdist_group("keras")
def test_every_optimizer_has_its_entry_in_each_backend() -> None:
    backends = [backend.name for backend in trainable_backends()]
    assert {"torch", "keras"} <= set(backends)
    get_backend("keras").require()
    for backend in ["numpy", *backends]:
        table = importlib.import_module(f"archspec.backends.{backend}.optimizer").OPTIMIZERS
        assert list(table) == TYPES
    assert {rule.type for rule in KNOWN.values()} == set(TYPES)
    assert {rule["type"] for rule in RULES.values()} == set(TYPES)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", RULES)
def test_the_update_is_the_closed_formula(backend: str, rule: str) -> None:
    expected, remembered = closed(RULES[rule])
    rules = recipe(RULES[rule])
    found = stepped(MAKERS[backend](rules, numbers(0)))
    close(found.weights(), expected)
    state = found.state()
    kinds = rules.optimizer.state
    assert {key.partition(".")[0] for key in state} - {"count", "velocity_scale"} == set(kinds)
    for kind in kinds:
        tensors = velocities(state, rules) if kind == "velocity" else part(kind, state)
        close(tensors, remembered[kind])
    assert ("count" in state) == rules.optimizer.counts_steps
    assert state.get("count", np.array(len(RATES))) == len(RATES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rule", RULES)
def test_the_kernels_of_a_gpu_compute_the_same(rule: str) -> None:
    rules = recipe(RULES[rule], gradient_clipping=3.0)
    found = stepped(OfTorch(rules, numbers(0), "cuda"))
    close(found.weights(), closed(RULES[rule], 3.0)[0])
    resumed = OfTorch(rules, found.weights(), "cuda")
    resumed.load(found.state())
    close(resumed.state(), found.state(), 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", ["nesterov", "adam"])
def test_gradients_are_clipped_together_before_the_decay(backend: str, rule: str) -> None:
    largest = [np.sqrt(sum((g**2).sum() for g in numbers(100 + i).values())) for i in range(12)]
    limit = float(np.median(largest))  # some steps are clipped and some are not
    rules = recipe(RULES[rule], gradient_clipping=limit)
    close(stepped(MAKERS[backend](rules, numbers(0))).weights(), closed(RULES[rule], limit)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_zero_are_not_clipped_to_nothing(backend: str) -> None:
    rules = recipe(RULES["momentum"], gradient_clipping=1.0)
    found = MAKERS[backend](rules, numbers(0))
    found.step({name: 0 * g for name, g in numbers(1).items()}, 0.1)
    weight = numbers(0)["conv.weight"]
    close({"w": found.weights()["conv.weight"]}, {"w": weight * (1 - 0.1 * 0.01)})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", ["nesterov", "adam", "adamw"])
def test_a_multiplier_of_zero_leaves_no_trace(backend: str, rule: str) -> None:
    still = [{"match": "fc.*", "learning_rate": 0.0}]
    rules = recipe(RULES[rule], parameters=still, gradient_clipping=1.0)
    found = stepped(MAKERS[backend](rules, numbers(0)))
    assert not [key for key in found.state() if ".fc." in key]
    for name, weight in found.weights().items():
        assert (weight == numbers(0)[name]).all() == name.startswith("fc.")
    # Their gradients do not count in the norm either.
    small = MAKERS[backend](rules, {n: w for n, w in numbers(0).items() if n.startswith("conv")})
    close({n: w for n, w in found.weights().items() if "conv" in n}, stepped(small).weights(), 0)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_recipe_that_trains_nothing_says_so(backend: str) -> None:
    """In Keras the trainer says it: see `test_trainers`."""
    rules = recipe(SGD, parameters=[{"match": "*", "learning_rate": 0.0}])
    with pytest.raises(ArchspecError, match="the recipe trains nothing: `parameters` multiplies"):
        MAKERS[backend](rules, numbers(0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES)
def test_a_saved_state_goes_on_to_the_last_bit(backend: str, dtype: str, rule: str) -> None:
    rules = recipe(RULES[rule], gradient_clipping=3.0)
    whole = stepped(MAKERS[backend](rules, numbers(0, dtype)), dtype=dtype)
    for stop in (1, 5, 9):
        begun = stepped(MAKERS[backend](rules, numbers(0, dtype)), 0, stop, dtype)
        resumed = MAKERS[backend](rules, begun.weights())
        resumed.load(begun.state())
        # Telling the state has changed nothing.
        for one in (resumed, begun):
            stepped(one, stop, dtype=dtype)
            assert {k: v.tobytes() for k, v in one.state().items()} == {
                k: v.tobytes() for k, v in whole.state().items()
            }
            for name, weight in one.weights().items():
                assert weight.tobytes() == whole.weights()[name].tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", RULES)
def test_an_empty_state_is_that_of_the_beginning(backend: str, rule: str) -> None:
    rules = recipe(RULES[rule])
    found, begun = (MAKERS[backend](rules, numbers(0)) for _ in range(2))
    begun.load({})
    close(stepped(begun, 0, 3).weights(), stepped(found, 0, 3).weights(), 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("other", ["numpy", "torch"])
@pytest.mark.parametrize("rule", ["momentum", "nesterov", "adamw"])
def test_one_backend_goes_on_with_the_state_of_another(backend: str, other: str, rule: str) -> None:
    rules = recipe(RULES[rule])
    begun = stepped(MAKERS[other](rules, numbers(0)), 0, 6)
    resumed = MAKERS[backend](rules, begun.weights())
    resumed.load(begun.state())
    close(stepped(resumed, 6).weights(), closed(RULES[rule])[0])


@pytest.mark.xdist_group("keras")
@pytest.mark.parametrize("rule", RULES)
def test_float32_has_the_digits_of_float32(rule: str) -> None:
    """Of Adam's corrections too: 1 - 0.999 in float32 has four digits."""
    expected, _ = closed(RULES[rule])
    for name in ("numpy", "torch", "keras"):
        weights = MAKERS[name](recipe(RULES[rule]), numbers(0, "float32"))
        close(stepped(weights, dtype="float32").weights(), expected, 3e-6)


def plain(rule: dict[str, Any]) -> Recipe:
    return recipe(rule, parameters=[])


def own_torch(make: Callable[..., torch.optim.Optimizer], rates: list[float]) -> Arrays:
    parameters = [torch.nn.Parameter(torch.from_numpy(w)) for w in numbers(0).values()]
    optimizer = make(parameters, lr=rates[0])
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        for parameter, gradient in zip(parameters, numbers(100 + step).values(), strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    return dict(zip(SHAPES, (p.detach().numpy() for p in parameters), strict=True))


def ours(backend: str, rule: dict[str, Any], rates: list[float]) -> Arrays:
    found = MAKERS[backend](plain(rule), numbers(0))
    for step, rate in enumerate(rates):
        found.step(numbers(100 + step), rate)
    weights: Arrays = found.weights()
    return weights


@pytest.mark.parametrize("backend", BACKENDS)
def test_pytorch_s_own_optimizers_take_the_same_steps(backend: str) -> None:
    """But for SGD with momentum, where the learning rate changes."""
    constant, changing = [0.05] * 8, RATES
    decay = {"weight_decay": 0.01}
    sgd = {**SGD, **decay, "momentum": 0.9}
    for rule, rates, make, options in (
        ({**SGD, **decay}, changing, torch.optim.SGD, decay),
        (sgd, constant, torch.optim.SGD, {**decay, "momentum": 0.9}),
        (
            {**sgd, "nesterov": True},
            constant,
            torch.optim.SGD,
            {**decay, "momentum": 0.9, "nesterov": True},
        ),
        (RULES["adam"], changing, torch.optim.Adam, decay),
        (RULES["adamw"], changing, torch.optim.AdamW, {**decay, "eps": 1e-3}),
    ):
        expected = own_torch(lambda p, lr, m=make, o=options: m(p, lr=lr, **o), rates)
        close(ours(backend, rule, rates), expected, 1e-11)
    after = own_torch(lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9), [0.05, 0.005])
    weight = ours(backend, {**SGD, "momentum": 0.9}, [0.05, 0.005])["fc.bias"]
    assert not np.allclose(weight, after["fc.bias"], rtol=1e-3)


def own_keras(optimizer: Any, rates: list[float]) -> Arrays:
    import keras

    from archspec.backends.keras import precision

    with precision("float64"):
        variables = [keras.Variable(w) for w in numbers(0).values()]
        optimizer.build(variables)
        for step, rate in enumerate(rates):
            optimizer.learning_rate = rate
            gradients = numbers(100 + step).values()
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients])
        return dict(zip(SHAPES, (v.numpy() for v in variables), strict=True))


@pytest.mark.xdist_group("keras")
def test_keras_own_optimizers_take_the_same_steps_but_for_epsilon() -> None:
    from archspec.backends.keras import choose_engine, precision

    choose_engine()
    import keras

    with precision("float64"):
        half = {"momentum": 0.5}  # TensorFlow takes Keras' numbers in float32
        for options in (half, {**half, "nesterov": True}):
            own = keras.optimizers.SGD(0.05, **options)
            close(ours("keras", {**SGD, **options}, RATES), own_keras(own, RATES), 1e-12)
        betas = {"beta1": 0.5, "beta2": 0.75}
        keras_betas = {"beta_1": 0.5, "beta_2": 0.75}
        for epsilon, same in ((1e-12, True), (0.125, False)):
            adam = {"type": "adam", "learning_rate": 0.05, "epsilon": epsilon, **betas}
            own = keras.optimizers.Adam(0.05, epsilon=epsilon, **keras_betas)
            found, expected = ours("keras", adam, RATES), own_keras(own, RATES)
            agree = np.allclose(found["fc.weight"], expected["fc.weight"], rtol=1e-9, atol=0)
            assert agree == same
        adamw = {"type": "adamw", "learning_rate": 0.05, "weight_decay": 0.25, "epsilon": 1e-12}
        own = keras.optimizers.AdamW(0.05, weight_decay=0.25, epsilon=1e-12, **keras_betas)
        close(ours("keras", {**adamw, **betas}, RATES), own_keras(own, RATES), 1e-9)


DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rule", ["momentum", "nesterov", "adam"])
def test_a_step_that_a_loss_scaler_skips_leaves_no_trace(rule: str, device: str) -> None:
    """As `torch.amp.GradScaler` skips one: on the device, unknown to whoever asked for it."""
    rules = recipe(RULES[rule])
    scaled = OfTorch(rules, numbers(0), device, may_skip=True)
    plain = OfNumpy(rules, numbers(0))
    for step, rate in enumerate(RATES):
        found = step in (3, 6, 9)
        scaled.optimizer.torch.grad_scale = torch.tensor(8.0, device=device)
        scaled.optimizer.torch.found_inf = torch.tensor(float(found), device=device)
        gradients = numbers(100 + step)
        scaled.step({name: 8.0 * g for name, g in gradients.items()}, rate)
        if not found:
            plain.step(gradients, rate)
    close(scaled.weights(), plain.weights(), 1e-11)


@pytest.mark.parametrize("rule", ["momentum", "nesterov", "adam"])
def test_a_step_of_torch_s_that_is_undone_leaves_no_trace(rule: str) -> None:
    """Tensors and groups are all that has to be put back, as `TorchTrainer.attempt` does."""
    rules = recipe(RULES[rule])
    found, plain = OfTorch(rules, numbers(0)), OfNumpy(rules, numbers(0))
    for step, rate in enumerate(RATES):
        if step in (3, 6, 9):
            optimizer = found.optimizer.torch
            tensors = [p.detach() for p in found.parameters.values()]
            tensors += [t for state in optimizer.state.values() for t in state.values()]
            kept = [tensor.clone() for tensor in tensors]
            groups = [dict(group) for group in optimizer.param_groups]
            found.step(numbers(500 + step), 3.0)
            torch._foreach_copy_(tensors, kept)
            for group, before in zip(optimizer.param_groups, groups, strict=True):
                group.update(before)
        for one in (found, plain):
            one.step(numbers(100 + step), rate)
    close(found.weights(), plain.weights(), 1e-11)


def test_torch_s_buffers_are_not_rescaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learning rate that changes at each step costs no pass over memory."""
    passes: list[str] = []
    monkeypatch.setattr(torch, "_foreach_mul_", lambda *_: passes.append("pass"))
    for rule in ("momentum", "nesterov"):
        stepped(OfTorch(recipe(RULES[rule]), numbers(0)))
    assert not passes
    stepped(OfTorch(recipe(RULES["nesterov"]), numbers(0), may_skip=True))
    assert passes
