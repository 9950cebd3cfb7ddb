"""What each of two processes does that torchrun starts for the tests; see `launched` in conftest.

Functions are checks of test_groups.py: each gets a group, and what it finds is written as JSON.
Then come the runs of test_many_devices.py.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from archspec.backends import get_backend
from archspec.backends.base import Execution, Group, TrainableBackend
from archspec.diagnostics import ArchspecError
from archspec.spec.recipe import Recipe
from archspec.training import RunOptions, run
from archspec.training.options import Progress, Silent
from archspec.training.stopping import Stopped


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    """Two processes of a program in Python, as torchrun starts them on one machine."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here)])
    return subprocess.run(
        [sys.executable, *launcher, *words],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def group() -> Group:
    backend = get_backend("torch")
    assert isinstance(backend, TrainableBackend)
    return backend.group("cpu")


def numbers(own: Group) -> Any:
    # 0.1 + 0.2 + ... has other last bits in another order, and in float32 other digits.
    parts = np.array([0.1 * (own.rank + 1), 1e-12, own.rank])
    return [own.sum(parts).tolist(), own.any(own.rank == 1), own.any(False)]


def one_fails(own: Group) -> Any:
    if own.rank == 1:
        raise ArchspecError("photos/7.png cannot be read")
    own.sum(np.zeros(1))  # the other one does not come
    return "went on"


def all_fail(own: Group) -> Any:
    raise ArchspecError("a batch of 3 does not divide")


def one_is_gone(own: Group) -> Any:
    if own.rank == 1:
        own.close()
        return "gone"
    own.sum(np.zeros(1))
    return "went on"


def normalized(own: Group) -> Any:
    """Two steps of a network with each kind of batch norm, on a half of the batch each."""
    import torch
    import torch.nn.functional as F
    from networks import layer, network

    from archspec.backends.torch.synchronized import synchronize

    torch.set_num_threads(1)
    few = {"eps": 1e-3, "decay": 0.8}
    graph = network(
        [
            layer("conv", "conv2d", filters=4, kernel_size=3),
            layer("unbiased", "batch_norm", eps=1e-5, decay=0.9),
            layer("relu", "relu"),
            layer("biased", "batch_norm", running_variance="biased", **few),
            layer("plain", "batch_norm", affine=False, **few),
            layer("frozen", "batch_norm", trainable=False, **few),
            layer("flatten", "flatten"),
            layer("fc", "dense", units=5),
            layer("of_a_vector", "batch_norm", **few),
        ],
        (2, 5, 4),
    )
    backend = get_backend("torch")
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(8, 2, 5, 4, dtype=torch.float64, generator=draw)
    labels = torch.arange(8) % 5

    def trained(part: slice, together: bool) -> dict[str, Any]:
        torch.manual_seed(0)
        model = backend.build(graph).double().train()
        wrapped = model
        if together:
            synchronize(graph, model)
            wrapped = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(wrapped(images[part]), labels[part]).backward()
            optimizer.step()
        return backend.save_weights(graph, model)

    alone = trained(slice(None), False)
    shared = trained(slice(own.rank * 4, own.rank * 4 + 4), True)
    return {name: float(np.abs(alone[name] - shared[name]).max()) for name in alone}


def trained(own: Group) -> Any:
    """Steps of a network with auxiliary outputs and batch norm: whole, in halves, divided."""
    import torch
    from networks import heads, recipe

    from archspec.backends.initial import initial_weights
    from archspec.backends.torch import parallel

    torch.set_num_threads(1)
    parallel.GATHERED = 2000  # several parts of this small network
    graph = heads()
    common = {"gradient_clipping": 0.5, "label_smoothing": 0.1}
    other = {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}
    every = {
        "sgd": recipe(momentum=0.9),
        "adamw": Recipe.model_validate(
            {**recipe().model_dump(exclude={"optimizer"}), "optimizer": other, **common}
        ),
    }
    backend = get_backend("torch")
    assert isinstance(backend, TrainableBackend)
    first = initial_weights(graph, 0)
    draw = np.random.default_rng(0)
    images = draw.standard_normal((4, 8, *graph.input_shape[1:], graph.input_shape[0]))
    labels = draw.integers(0, 5, (4, 8))

    def run(rules: Recipe, execution: Execution, part: slice) -> dict[str, Any]:
        trainer = backend.trainer(graph, rules, first, execution)
        losses = []
        for number, rate in enumerate((0.05, 0.05, 0.005, 0.005)):
            trainer.reseed(number)
            losses.append(float(trainer.step(images[number, part], labels[number, part], rate)))
            if number == 2:  # goes on as a resumed run does
                weights, state = trainer.weights(), trainer.optimizer_state()
                trainer = backend.trainer(graph, rules, weights, execution)
                trainer.load_optimizer_state(state, rate)
        # The last batch of an evaluation may have no image for a process.
        logits = [trainer.logits(images[0]), trainer.logits(images[0, : 8 * (own.rank == 0)])]
        assert logits[1].shape == (8 * (own.rank == 0), 5)
        assert (logits[1] == logits[0][: len(logits[1])]).all()
        mean = execution.group.sum(np.array(losses)) / execution.group.size
        return {
            "losses": mean,
            "logits": logits[0],
            **trainer.weights(),
            **trainer.optimizer_state(),
        }

    half = slice(own.rank * 4, own.rank * 4 + 4)
    found = {}
    for (name, rules), shard in itertools.product(every.items(), (False, True)):
        alone = run(rules, Execution("cpu", "float64"), slice(None))
        shared = run(rules, Execution("cpu", "float64", group=own, shard=shard), half)
        assert alone.keys() == shared.keys()
        found[f"{name}, divided" if shard else name] = {
            key: float(np.abs(alone[key] - shared[key]).max()) for key in alone
        }
    return found


def attempted(own: Group) -> Any:
    """Whether each process takes back a step that is none for the images of the second one."""
    from networks import layer, network, recipe

    from archspec.backends.initial import initial_weights

    graph = network([layer("flat", "flatten"), layer("fc", "dense", units=2)])
    backend = get_backend("torch")
    assert isinstance(backend, TrainableBackend)
    first = initial_weights(graph, 0)
    images, labels = np.ones((4, 8, 8, 3), "float32"), np.arange(4) % 2
    found = []
    for shard in (False, True):
        trainer = backend.trainer(graph, recipe(), first, Execution("cpu", group=own, shard=shard))
        skipped = trainer.attempt(images * (np.nan if own.rank else 1.0), labels, 0.1)
        weights = trainer.weights()
        same = all((weights[name] == first[name].astype("float32")).all() for name in weights)
        done = trainer.attempt(images, labels, 0.1)
        found.append([skipped, same, done is not None])
    return found


def masked(own: Group) -> Any:
    """What each process draws after these seeds."""
    from networks import layer, network, recipe

    graph = network([layer("flat", "flatten"), layer("fc", "dense", units=2)])
    backend = get_backend("torch")
    assert isinstance(backend, TrainableBackend)
    weights = {"fc.weight": np.ones((2, 192)), "fc.bias": np.zeros(2)}
    trainer = backend.trainer(graph, recipe(), weights, Execution("cpu", group=own))
    import torch

    drawn = []
    for seed in (3, 3, 4):
        trainer.reseed(seed)
        drawn.append(torch.rand(2).tolist())
    return drawn


CHECKS = (
    numbers,
    normalized,
    trained,
    attempted,
    masked,
    one_fails,
    all_fail,
    one_is_gone,
    numbers,
)

# A head on the first layer, batch norm, a schedule and multipliers.
SGD = """\
archspec: 1
name: small
input: {channels: 1, height: 8, width: 8}
variables: {classes: 10}
layers:
  - {name: conv, type: conv2d, filters: 4, kernel_size: 3, bias: false}
  - {name: norm, type: batch_norm, eps: 1.0e-3, decay: 0.9}
  - {name: relu, type: relu}
  - {name: aux.flatten, type: flatten}
  - {name: aux.fc, type: dense, units: $classes}
  - {name: pool, type: max_pool2d, kernel_size: 3, inputs: [relu]}
  - {name: flatten, type: flatten}
  - {name: fc, type: dense, units: $classes}
auxiliary:
  - {layer: aux.fc, loss_weight: 0.3}
training:
  epochs: 3
  batch_size: 8
  optimizer: {type: sgd, learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0005}
  schedule: {type: steps, epochs: [3], factor: 0.1}
  parameters: [{match: "*.bias", learning_rate: 2, weight_decay: 0}]
  preprocessing: {mean: data, std: data}
"""
ADAMW = SGD.replace(
    "optimizer: {type: sgd, learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0005}",
    "optimizer: {type: adamw, learning_rate: 0.01, weight_decay: 0.1}\n"
    "  gradient_clipping: 1\n  label_smoothing: 0.1",
)
SPECS = {"sgd": SGD, "adamw": ADAMW}


class Terminate(Silent):
    """Lets the process that reports, and no other, be told to stop in the second epoch."""

    def step(self, progress: Progress) -> None:
        if progress.epoch == 2:
            signal.raise_signal(signal.SIGTERM)


def train(folder: Path, name: str, spec: str = "sgd", **options: Any) -> None:
    """60 digits to train on, 15 to hold out: in batches of 8, two processes get 4 and 3 at last."""
    several = {"limit": 75, "device": "cpu", "output": folder / name, **options}
    run(folder / f"{spec}.yaml", RunOptions(**several))


def alone(folder: Path) -> None:
    """Runs of one process, before the other one looks for it."""
    os.environ["WORLD_SIZE"] = "1"
    for name, text in SPECS.items():
        (folder / f"{name}.yaml").write_text(text)
        train(folder, name, name)
    train(folder, "begun", epochs=1)
    os.environ["WORLD_SIZE"] = "2"


def together(folder: Path) -> None:
    """The same runs of two."""
    for name in SPECS:
        train(folder, f"{name}-two", name)
    train(folder, "divided", shard_model=True)
    run(None, RunOptions(resume=folder / "begun", device="cpu", epochs=3))
    options = RunOptions(limit=75, device="cpu", output=folder / "stopped")
    try:
        run(folder / "sgd.yaml", options, Terminate())
    except Stopped as stopped:
        (folder / f"stopped-{os.environ['RANK']}").write_text(str(stopped.signal))
    os.environ["WORLD_SIZE"] = "1"
    if os.environ["RANK"] == "0":
        run(None, RunOptions(resume=folder / "stopped", device="cpu"))


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    if rank == 0:
        alone(folder)
    found = []
    for check in CHECKS:
        own = group()
        result: Any
        try:
            with own.together():
                result = check(own)
        except ArchspecError as error:
            result = f"ArchspecError: {error}"
        except SystemExit as end:
            result = f"exit {end.code}"
        found.append([check.__name__, rank, result])
    (folder / f"checks-{rank}.json").write_text(json.dumps(found))
    together(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
