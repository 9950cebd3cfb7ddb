"""AS5xx, the recipe: what is said of it, and that training bears it out."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from networks import layer, parsed

import archspec
from archspec import catalog
from archspec.diagnostics import Diagnostic
from archspec.graph import Graph
from archspec.rules.recipe import IMAGES, shrunk
from archspec.spec.recipe import Recipe

LAYERS = [
    layer("conv1", "conv2d", filters=16, kernel_size=3, padding=1),
    layer("relu1", "relu"),
    layer("pool1", "max_pool2d", kernel_size=4),
    layer("flatten", "flatten"),
    layer("fc1", "dense", units=64),
    layer("relu2", "relu"),
    layer("fc2", "dense", units=10),
]
NORM = [
    layer("conv1", "conv2d", filters=16, kernel_size=3, padding=1, bias=False),
    layer("norm1", "batch_norm", eps=1e-5, decay=0.9),
    layer("relu1", "relu"),
    layer("pool1", "global_avg_pool2d"),
    layer("fc", "dense", units=10),
]


def recipe(**changes: Any) -> dict[str, Any]:
    """A recipe with which nothing is wrong, and changes to it and to its optimiser."""
    sgd = {"type": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
    sgd |= {key: changes.pop(key) for key in [*changes] if key in sgd}
    whole = {"epochs": 90, "batch_size": 128, "optimizer": sgd}
    return {**whole, "preprocessing": {"mean": "data", "std": "data"}, **changes}


def network(layers: list[dict[str, Any]] = LAYERS, **changes: Any) -> Graph:
    defaults = {"weight_init": "kaiming_normal"} | changes.pop("defaults", {})
    return parsed(layers, (3, 32, 32), training=recipe(**changes), defaults=defaults)


def findings(graph: Graph) -> dict[str, Diagnostic]:
    found = archspec.analyze(graph).diagnostics
    return {d.code: d for d in found if d.code.startswith("AS5")}


@pytest.mark.slow
def test_published_recipes_have_no_warning_and_the_seed_has_its_own() -> None:
    for name in catalog.shipped():
        if archspec.load(name).spec.training is None:
            continue
        found = findings(archspec.load(name))
        assert [*found] == (["AS501"] if name == "alexnet-same-padding" else []), name


def test_the_seed_s_decay_is_a_hundredth_of_the_paper_s() -> None:
    found = findings(archspec.load("alexnet-same-padding"))["AS501"]
    text = (catalog.folder() / "alexnet-same-padding.yaml").read_text("utf-8").splitlines()
    assert text[found.line - 1].lstrip().startswith("optimizer:")
    assert text[found.line - 1][found.column - 1 : found.end_column - 1] == "5.0e-6"
    assert "to 64% of itself" in found.message
    assert found.severity == "warning"
    (fix,) = found.fixes
    assert fix.changes == {"training.optimizer.weight_decay": 0.0005}
    assert not fix.safe


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_decay_alone_shrinks_a_weight_as_computed(momentum: float) -> None:
    found = Recipe.model_validate(recipe(momentum=momentum, weight_decay=0.01))
    sgd, weight, velocity, steps = found.optimizer, 1.0, 0.0, 5000
    for _ in range(steps):  # the update that Krizhevsky et al. (2012) print, without a gradient
        velocity = momentum * velocity - sgd.weight_decay * sgd.learning_rate * weight
        weight += velocity
    assert math.log(weight) == pytest.approx(-found.optimizer.shrinking * steps, rel=0.02)


def test_the_schedule_counts() -> None:
    steps = -(-IMAGES // 128)
    constant = Recipe.model_validate(recipe())
    assert shrunk(constant) == pytest.approx(constant.optimizer.shrinking * steps * 90)
    schedule = {"type": "steps", "epochs": [31, 61, 100], "factor": 0.1}
    falling = Recipe.model_validate(recipe(schedule=schedule))
    assert shrunk(falling) == pytest.approx(falling.optimizer.shrinking * steps * (30 + 3 + 0.3))


@pytest.mark.parametrize(
    ("decay", "code"),
    [(0, None), (1e-5, "AS501"), (1.2e-5, None), (0.0005, None), (0.09, None), (0.2, "AS502")],
)
def test_decays(decay: float, code: str | None) -> None:
    assert [*findings(network(weight_decay=decay))] == ([code] if code else [])


def test_a_usual_decay_in_a_short_run_is_no_mistake() -> None:
    fine_tuning = {"learning_rate": 0.001, "epochs": 5, "batch_size": 256}
    assert shrunk(Recipe.model_validate(recipe(weight_decay=0.0001, **fine_tuning))) < 1
    assert not findings(network(weight_decay=0.0001, **fine_tuning))
    assert "AS501" in findings(network(weight_decay=0.00001, **fine_tuning))


def test_a_learning_rate_that_makes_a_usual_decay_overwhelming_is_to_blame() -> None:
    rate = findings(network(NORM, learning_rate=10))["AS502"]
    assert "use a learning rate of at most 2;" in str(rate.help)
    decay = findings(network(weight_decay=0.5))["AS502"]
    assert "use at most 0.1; recipes" in str(decay.help)
    assert rate.column < decay.column


@pytest.mark.parametrize("momentum", [0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("rate", [0.003, 0.035, 0.2, 70])
def test_the_decay_or_the_rate_that_is_advised_has_no_warning(rate: float, momentum: float) -> None:
    for decay in (0.0007, 0.5, 30):
        said = {"learning_rate": rate, "momentum": momentum, "weight_decay": decay}
        finding = findings(network(NORM, **said)).get("AS502")
        if finding is not None:
            field = "weight_decay" if decay > 0.001 else "learning_rate"
            advised = re.search(r"at most (\S+);", str(finding.help))
            assert advised
            assert "AS502" not in findings(network(NORM, **said | {field: float(advised[1])}))


@pytest.mark.parametrize("rate", [0.0001, 0.003, 0.013, 0.1])
def test_the_decay_that_is_advised_is_enough(rate: float) -> None:
    help_ = str(findings(network(learning_rate=rate, weight_decay=1.234e-9))["AS501"].help)
    advised = re.search(r"at least (\S+) for", help_)
    assert advised
    assert "AS501" not in findings(network(learning_rate=rate, weight_decay=float(advised[1])))


def test_a_decay_on_the_limit_is_not_too_large() -> None:
    assert "AS502" not in findings(network(NORM, learning_rate=0.2, weight_decay=0.005))


def test_a_cause_is_named_only_where_it_is_plausible() -> None:
    assert findings(network(weight_decay=1e-5))["AS501"].fixes  # 0.001 x 0.01
    assert not findings(network(weight_decay=1.234e-6))["AS501"].fixes
    assert not findings(network(weight_decay=1e-9))["AS501"].fixes  # 1e-7 does nothing either


def images(count: int, std: float) -> tuple[np.ndarray, np.ndarray]:
    """Images of ten classes, each a pattern with noise, with mean 0."""
    numbers = np.random.default_rng(0)
    patterns = np.repeat(np.repeat(numbers.normal(size=(10, 3, 8, 8)), 4, 2), 4, 3)
    labels = numbers.integers(0, 10, count)
    found = 0.7 * patterns[labels] + 0.7 * numbers.normal(size=(count, 3, 32, 32))
    return (found / found.std() * std).astype("float32"), labels


def trained(graph: Graph, std: float, steps: int = 80) -> float:
    """The loss at the end of a short run with the recipe's optimiser."""
    import torch

    assert graph.spec.training is not None
    sgd = graph.spec.training.optimizer
    model = archspec.build(graph, backend="torch", seed=0)
    optimizer = torch.optim.SGD(model.parameters(), sgd.learning_rate, sgd.momentum)
    pixels, labels = (torch.from_numpy(array) for array in images(256, std))
    losses = []
    for step in range(steps):
        some = torch.arange(32 * step, 32 * step + 32) % 256
        loss = torch.nn.functional.cross_entropy(model(pixels[some]), labels[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-8:]))


RAW = {"mean": "data"}
RATES = [
    # layers, preprocessing, deviation of the pixels, learning rate, flagged
    ("raw pixels", RAW, 57.6, 1.0, True),
    ("raw pixels, lower", RAW, 57.6, 1e-4, False),
    ("normalised", {"mean": "data", "std": "data"}, 1.0, 10.0, True),
    ("normalised, lower", {"mean": "data", "std": "data"}, 1.0, 0.01, False),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preprocessing", "std", "rate", "flagged"), [r[1:] for r in RATES], ids=[r[0] for r in RATES]
)
def test_what_is_flagged_does_not_train_and_what_is_not_does(
    preprocessing: dict[str, Any], std: float, rate: float, flagged: bool
) -> None:
    graph = network(learning_rate=rate, weight_decay=0, preprocessing=preprocessing)
    assert ("AS503" in findings(graph)) == flagged
    chance, loss = math.log(10), trained(graph, std, steps=140)
    if flagged:
        assert not loss < 0.95 * chance  # not a number, or no better than chance
    else:
        assert loss < 0.8 * chance


def test_normalisation_forgets_the_size_of_the_weights() -> None:
    assert "AS503" not in findings(network(NORM, learning_rate=100, weight_decay=0))


@pytest.mark.slow
@pytest.mark.parametrize(("std", "lost"), [(0.01, True), (0.083, False)])
def test_a_lost_signal_does_not_train(std: float, lost: bool) -> None:
    layers = [layer("small", "avg_pool2d", kernel_size=4)]
    for number in range(6):
        layers.append(layer(f"conv{number}", "conv2d", filters=32, kernel_size=3, padding=1))
        layers.append(layer(f"relu{number}", "relu"))
    layers += [layer("mean", "max_pool2d", kernel_size=4), layer("flat", "flatten")]
    layers += [layer("fc", "dense", units=10)]
    init = {"weight_init": {"type": "normal", "std": std}}
    graph = network(layers, defaults=init, weight_decay=0)
    assert [*findings(graph)] == (["AS504"] if lost else [])
    chance, loss = math.log(10), trained(graph, 1.0)
    assert loss > 0.97 * chance if lost else loss < 0.5 * chance


def test_an_exploding_signal_is_lost_too() -> None:
    found = findings(network(defaults={"weight_init": {"type": "normal", "std": 20.0}}))
    assert "explodes" in found["AS504"].message
    assert found["AS504"].layer == "fc1"


EXTREME = 1e300


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocessing": {"rescale": EXTREME}},
        {"preprocessing": {"mean": [EXTREME]}},
        {"preprocessing": {"std": [1e-300]}},
        {"defaults": {"weight_init": {"type": "normal", "std": EXTREME}}},
        {"defaults": {"weight_init": {"type": "normal", "std": 1e150}}},
        {"defaults": {"weight_init": {"type": "constant", "value": EXTREME}}},
        {"defaults": {"weight_init": {"type": "kaiming_normal", "negative_slope": EXTREME}}},
    ],
)
def test_what_no_float_holds_is_not_told(changes: dict[str, Any]) -> None:
    assert not findings(network(**changes))


def test_a_factor_that_no_float_holds_to_a_power() -> None:
    rising = {"type": "steps", "epochs": [1, 2, 3], "factor": EXTREME}
    assert shrunk(Recipe.model_validate(recipe(schedule=rising))) == math.inf
    late = {**rising, "epochs": [1, 2, 3, 91]}
    assert "ends at inf" in findings(network(schedule=late))["AS505"].message


def test_a_rate_at_which_no_decay_has_an_effect() -> None:
    found = findings(network(learning_rate=1e-300, weight_decay=1e-300))["AS501"]
    assert "100% of itself" in found.message
    assert found.help == "use 0: at this learning rate no decay has an effect"


def test_a_network_of_no_layers_has_no_signals() -> None:
    graph = parsed([layer("relu1", "relu", repeat=0)], (3, 8, 8), training=recipe())
    assert not {"AS503", "AS504"} & findings(graph).keys()


def test_one_epoch_and_one_parameter() -> None:
    plateau = findings(network(epochs=1, schedule={"type": "plateau", "patience": 1}))["AS505"]
    assert plateau.message.startswith("the run has 1 epoch, and")
    assert plateau.help == "use a `constant` schedule"  # a patience is at least 1
    one = layer("scale1", "scale", weight_init="ones", bias=False, trainable=False)
    frozen = findings(parsed([one], (1, 8, 8), training=recipe(epochs=1)))["AS507"]
    assert frozen.message == (
        "its one parameter is frozen, and training for 1 epoch changes nothing"
    )


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"type": "steps", "epochs": [30, 60]}, None),
        ({"type": "steps", "epochs": [30, 91]}, "epoch 91 never begins: the learning rate ends"),
        ({"type": "steps", "epochs": [100, 200]}, "epochs 100, 200 never begin"),
        ({"type": "plateau", "patience": 89}, None),
        ({"type": "plateau", "patience": 90}, "for 90: that never happens"),
    ],
)
def test_schedules(schedule: dict[str, Any], message: str | None) -> None:
    found = findings(network(schedule=schedule))
    if message is None:
        assert not found
    else:
        assert message in found["AS505"].message


@pytest.mark.parametrize(
    ("layers", "changes", "code", "words"),
    [
        (LAYERS, {"parameters": [{"match": "conv2.*"}]}, "AS506", "none of the 6 parameters"),
        (LAYERS, {"parameters": [{"match": "*.bias", "learning_rate": 2}]}, None, ""),
        ([*({**w, "trainable": False} if w["type"] in ("conv2d", "dense") else w for w in LAYERS)],
         {}, "AS507", "parameters are frozen"),
        ([layer("pool", "global_avg_pool2d")], {}, "AS507", "has no parameters"),
        (NORM, {}, "AS508", "32 scales and shifts"),
        (NORM, {"weight_decay": 0}, None, ""),
        (NORM, {"parameters": [{"match": "norm1.*", "weight_decay": 0}]}, None, ""),
        (NORM, {"weight_decay": 0, "batch_size": 1}, "AS509", "by 1,024 values of one image"),
        ([{**LAYERS[0], "trainable": False}, *LAYERS[1:]],
         {"parameters": [{"match": "conv1.bias"}]}, "AS510", "the one parameter"),
    ],
)  # fmt: skip
def test_parameters_and_batches(
    layers: list[dict[str, Any]], changes: dict[str, Any], code: str | None, words: str
) -> None:
    found = findings(network(layers, **changes))
    assert [*found] == ([code] if code else [])
    if code:
        assert words in found[code].message


def test_a_decay_of_more_than_the_weight() -> None:
    found = findings(network(weight_decay=1.0, learning_rate=1.0, momentum=0.9999999))["AS502"]
    assert "(1 x 1 / (1 - 0.9999999)): no less than the whole weight" in found.message


def test_a_pattern_for_one_parameter() -> None:
    one = layer("scale1", "scale", weight_init="ones", bias=False)
    found = findings(parsed([one], (1, 8, 8), training=recipe(parameters=[{"match": "b*"}])))
    assert found["AS506"].message == "`b*` matches no parameter"


def test_running_statistics_are_no_parameters() -> None:
    """The optimiser does not see them, so that an exception for them has no effect."""
    exception = [{"match": "norm1.running_*", "weight_decay": 0.0}]
    message = findings(network(NORM, parameters=exception))["AS506"].message
    # A weight without bias, scale and shift, weight and bias.
    assert message == "`norm1.running_*` matches none of the 5 parameters"


def test_adam_without_decay_has_no_decay_to_find() -> None:
    rules = recipe() | {"optimizer": {"type": "adam", "learning_rate": 0.001}}
    graph = parsed(LAYERS, (3, 32, 32), training=rules)
    assert not {"AS501", "AS502"} & set(findings(graph))


def with_rule(**changes: Any) -> Graph:
    """The network with another optimiser, which `changes` have as a whole."""
    return network(optimizer={"learning_rate": 0.001, **changes.pop("optimizer")}, **changes)


class TestOtherOptimizers:
    def test_decay_of_adamw_is_lr_times_decay(self) -> None:
        found = Recipe.model_validate(
            recipe(optimizer={"type": "adamw", "learning_rate": 0.002, "weight_decay": 0.05})
        )
        assert found.optimizer.shrinking == pytest.approx(0.0001)
        assert shrunk(found) == pytest.approx(0.0001 * 90 * -(-IMAGES // 128))

    @pytest.mark.parametrize(("decay", "warns"), [(0.0005, True), (0.05, False), (0.01, False)])
    def test_a_decay_for_sgd_does_little_in_adamw(self, decay: float, warns: bool) -> None:
        found = findings(with_rule(optimizer={"type": "adamw", "weight_decay": decay}))
        assert ("AS501" in found) == warns
        if warns:
            assert "use at least 0.002 for an effect" in (found["AS501"].help or "")

    def test_a_decay_of_adamw_that_overwhelms(self) -> None:
        found = findings(with_rule(optimizer={"type": "adamw", "weight_decay": 20.0}))["AS502"]
        assert "shrinks a weight by 0.02 a step (0.001 x 20): to 1/e in 50 steps" in found.message
        assert "recipes for AdamW have 0.01 to 0.3" in (found.help or "")
        fast = {"type": "adamw", "weight_decay": 0.1, "learning_rate": 0.5}
        found = findings(with_rule(optimizer=fast))["AS502"]
        assert "a learning rate of at most 0.1; recipes for AdamW" in (found.help or "")

    @pytest.mark.parametrize("decay", [1e-9, 1e-6, 100.0])
    def test_of_a_decay_in_adam_nothing_is_said(self, decay: float) -> None:
        """Its size is divided out, with that of the gradient."""
        assert not findings(with_rule(optimizer={"type": "adam", "weight_decay": decay}))
        found = Recipe.model_validate(
            recipe(optimizer={"type": "adam", "learning_rate": 1.0, "weight_decay": decay})
        )
        assert shrunk(found) is None

    def test_the_first_step_of_adam_does_not_depend_on_the_gradient(self) -> None:
        assert "AS503" in findings(network(learning_rate=10.0))
        fast = {"type": "adam", "learning_rate": 10.0}
        assert "AS503" not in findings(with_rule(optimizer=fast))


def test_schedules_count_in_what_decay_does() -> None:
    """Half of the run at a cosine to nothing, and with a warm-up of half of it half of that."""
    steps = -(-IMAGES // 128)
    constant = 0.01 * 0.0005 / (1 - 0.9) * steps * 90

    def share(**changes: Any) -> float:
        found = shrunk(Recipe.model_validate(recipe(**changes)))
        assert found is not None
        return found / constant

    assert share() == pytest.approx(1)
    assert share(schedule={"type": "cosine"}) == pytest.approx(0.5, rel=1e-3)
    assert share(schedule={"type": "cosine", "final": 0.5}) == pytest.approx(0.75, rel=1e-3)
    assert share(warmup={"epochs": 45}) == pytest.approx(0.75, rel=1e-3)
    assert share(warmup={"epochs": 45, "factor": 0.5}) == pytest.approx(0.875, rel=1e-3)
    assert share(epochs=1_000_000, schedule={"type": "cosine"}) == pytest.approx(
        0.5 * 1_000_000 / 90, rel=1e-3
    )


def test_a_warmup_of_the_whole_run() -> None:
    found = findings(network(epochs=5, warmup={"epochs": 5}))["AS505"]
    assert (
        "5 epochs, and its warm-up takes all of it: the learning rate of 0.01 is" in found.message
    )
    assert (found.help or "") == "use a warm-up of less than 5 epochs"
    assert "AS505" not in findings(network(epochs=6, warmup={"epochs": 5}))
    assert findings(network(epochs=1, warmup={"epochs": 1}))["AS505"].help == "leave `warmup` out"
