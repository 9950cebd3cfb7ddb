"""What is wrong with a run, as far as its numbers show it, and what can be done."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archspec import loading
from archspec.analysis.numbers import counted, short_bytes
from archspec.backends.base import OutOfMemory, TrainableBackend
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.fields import INPUT
from archspec.training.checkpoint import State
from archspec.training.data import Epoch, Images
from archspec.training.losses import NotFinite, Place
from archspec.training.sources import shown

if TYPE_CHECKING:
    from archspec.backends.base import Array, Weights
    from archspec.spec.recipe import Recipe

# Images of a batch that a message names.
NAMED = 5
# Steps without one that can be made after which a run stops.
IN_A_ROW = 10
# A loss that stays this near to that of guessing, for so many steps, is one.
NEAR, STEPS = 0.01, 500
# Images that are looked at to see why.
LOOKED_AT = 16
# What differs by less, relative to its size, is the same in float32; weights that have moved by
# less have not begun to learn.
SAME, MOVED = 1e-6, 1e-3
# Pixel values of such a deviation or mean are raw ones: 0 to 255.
RAW = 10.0


def diverged(error: NotFinite, images: Images, recipe: Recipe) -> NotFinite:
    """The error for a number that is none, with the images of the batch and what can be done.

    Without a place no step led to it that could be left out: the held-out loss, or the weights.
    """
    advice = "try a smaller --lr in a new run"
    if error.place is None:
        return NotFinite(f"{error}; {advice}")
    return NotFinite(
        f"{error}; the batch has {_named(images, recipe, error.place)}; {advice}, or leave such "
        "steps out with --on-nan skip",
        error.place,
    )


def skipped(state: State, place: Place, images: Images, recipe: Recipe, steps: int) -> str:
    """The warning of a step that was left out. Raises ArchspecError where too many are.

    That is `IN_A_ROW`, or as many as an epoch has.
    """
    told = f"its batch has {_named(images, recipe, place)}"
    if state.in_a_row >= min(IN_A_ROW, steps):
        raise ArchspecError(
            f"{state.in_a_row} steps in a row lead to NaN or infinity and were left out, the last "
            f"{place}; {told}; try a smaller --lr in a new run"
        )
    return (
        f"the step {place} leads to NaN or infinity and is left out, {state.skipped:,} so far; "
        f"{told}"
    )


def _named(images: Images, recipe: Recipe, place: Place) -> str:
    """The images of a batch: their titles and numbers in the source."""
    epoch = Epoch(recipe.seed, place.epoch)
    numbers = images.members(recipe.batch_size, epoch, place.batch - 1)
    titles = {number: shown(images.source.title(number)) for number in numbers[:NAMED]}
    told = [
        title if title == str(number) else f"{title} (number {number})"
        for number, title in titles.items()
    ]
    more = len(numbers) - NAMED
    return f"the images {', '.join(told)}" + (f" and {more} more" if more > 0 else "")


def exhausted(error: OutOfMemory, graph: Graph, processes: int = 1) -> OutOfMemory:
    """The error for a device without memory, with the batch that fits by the memory estimate.

    The error knows the images of one process, and the batch is that of all.
    """
    found = loading.analyze(graph, batch=error.images).memory_with(budget=error.room)
    told = f"a batch of {counted(error.images, 'image')}"
    if processes > 1:
        told += f" in each of {processes} processes"
    said = f"archspec estimates {short_bytes(found.training_peak)} for {told} in float32"
    fits = found.largest_batch
    if error.room is None or fits is None:
        return error.told(f"{said}; try a smaller --batch-size in a new run")
    peak = "" if error.peak is None else f"{short_bytes(error.peak)} were in use at the peak; "
    said = f"{peak}{said}, and there are {short_bytes(error.room)}"
    if fits == 0:
        return error.told(f"{said}, too little for one image; take a larger device")
    if fits < error.images:
        return error.told(
            f"{said}: try --batch-size {fits * processes} in a new run, which fits by that"
        )
    return error.told(
        f"{said}: what the estimate leaves out, workspaces and fragments, takes the rest; try "
        f"--batch-size {max(error.images // 2, 1) * processes} in a new run"
    )


class Chance:
    """Notices a loss that stays where guessing has it, ln(classes), and says why.

    An auxiliary output adds its share. Label smoothing changes nothing: the cross-entropy of
    equal probabilities is ln(classes) for whatever labels.
    """

    def __init__(self, graph: Graph, recipe: Recipe, backend: TrainableBackend, images: Images):
        self._graph, self._recipe, self._backend, self._images = graph, recipe, backend, images
        self._classes = len(images.source.classes)
        shares = 1.0 + math.fsum(output.loss_weight for output in graph.auxiliary)
        self._loss = shares * math.log(self._classes)
        self._told = False

    def found(self, state: State) -> bool:
        """Whether the mean losses since `STEPS` steps and more are all that of guessing, once."""
        if self._told:
            return False
        means, steps = [], 0
        if state.counted:
            means, steps = [state.losses / state.counted], state.batch
        for row, before in pairwise(reversed([None, *state.metrics])):
            if steps >= STEPS or row is None:
                break
            means.append(row.train_loss)
            steps += row.step - (before.step if before is not None else 0)
        self._told = steps >= STEPS and all(
            abs(mean - self._loss) <= NEAR * self._loss for mean in means
        )
        return self._told

    def explained(self, weights: Weights, state: State) -> str:
        """What the numbers of the network say about it."""
        said = (
            f"the loss has stayed at {self._loss:.4f} = ln({self._classes})"
            f"{' with the auxiliary outputs' if self._graph.auxiliary else ''}, that of guessing, "
            f"for {STEPS} steps and more"
        )
        return f"{said}: {self._why(weights, state)}"

    def _why(self, weights: Weights, state: State) -> str:
        import numpy as np

        from archspec.backends.initial import initial_weights

        batch = next(self._images.batches(min(LOOKED_AT, len(self._images))))
        pixels = batch["image"].transpose(0, 3, 1, 2).copy()
        first = initial_weights(self._graph, self._recipe.seed)
        now, then = (self._outputs(w, pixels) for w in (weights, first))
        mean, deviation = float(pixels.mean()), float(pixels.std())
        raw = max(abs(mean), deviation) > RAW
        scale = (
            f"the network reads pixel values with a mean of {mean:.3g} and a deviation of "
            f"{deviation:.3g}; `preprocessing: {{mean: data, std: data}}` makes them 0 and 1"
        )
        dead = self._alike(now)
        if dead is not None:
            zero = not now[dead].any()
            what = f"{dead} gives {'0' if zero else 'the same'} for every image, so that "
            what += "nothing before it can learn"
            if self._alike(then) is not None:
                cause = (
                    "it was so before the first step: larger initial weights (`weight_init: "
                    "he_normal`) or a batch_norm before each activation let the images through"
                )
            elif raw:
                cause = f"it was not so before the first step; {scale}"
            else:
                cause = (
                    f"it was not so before the first step, and a learning rate of {state.lr:g} has "
                    "brought it there: try a smaller --lr"
                )
            return f"{what}; {cause}"
        if raw:
            return scale
        moves = [
            np.linalg.norm(weights[name] - value) / np.linalg.norm(value)
            for name, value in first.items()
            if value.any()
        ]
        # What began as nothing but zeros has no size to be held against.
        moved = float(max(moves, default=math.inf))
        if moved < MOVED:
            return (
                f"no weight has moved by more than {moved:.1g} of its size, a learning rate of "
                f"{state.lr:g} is too small: try a larger --lr"
            )
        return (
            "images reach the output and weights move, so look whether the labels belong to the "
            "images, and try another --lr"
        )

    def _outputs(self, weights: Weights, pixels: Array) -> dict[str, Any]:
        model = self._backend.build_for_verification(self._graph, "float32")
        self._backend.load_weights(self._graph, model, weights)
        return self._backend.activations(self._graph, model, pixels)

    def _alike(self, outputs: dict[str, Any]) -> str | None:
        """The first layer on the way to the output that gives the same for every image.

        A layer that reads nothing but such ones is the same too; one that has no way around it
        is meant.
        """
        import numpy as np

        alike = {
            name
            for name, output in outputs.items()
            if float(np.abs(output - output[:1]).max()) <= SAME * float(np.abs(output).max())
        }
        if self._graph.output not in alike:
            return None
        name = self._graph.output
        while True:
            before = [i for i in self._graph.by_name[name].inputs if i in alike and i != INPUT]
            if not before:
                return name
            name = before[0]
