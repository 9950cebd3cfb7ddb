"""A recipe in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from archspec.analysis.numbers import counted
from archspec.spec.recipe import Optimizer, Recipe

WIDTH = 72


def settings(rule: Optimizer) -> Iterator[str]:
    """What an optimiser is told: "learning rate 0.1", "momentum 0.9", "nesterov".

    Of the numbers that have a default other than 0, those that are another one.
    """
    for name, field in type(rule).model_fields.items():
        value = getattr(rule, name)
        words = name.replace("_", " ")
        if isinstance(value, bool):
            if value:
                yield words
        elif name != "type" and (not field.default or value != field.default):
            yield f"{words} {value:g}"


def recipe_lines(recipe: Recipe) -> str:
    """The recipe but for the numbers of its preprocessing, in lines that begin with "recipe: "."""
    rule = recipe.optimizer
    rate, *others = settings(rule)
    warmup = recipe.warmup
    begin = "" if warmup is None else f" after a warm-up of {counted(warmup.epochs, 'epoch')}"
    items = [
        counted(recipe.epochs, "epoch"),
        f"batch {recipe.batch_size}",
        rule.type,
        f"{rate} ({recipe.schedule.type}{begin})",
        *others,
    ]
    if recipe.label_smoothing:
        items.append(f"label smoothing {recipe.label_smoothing:g}")
    if recipe.gradient_clipping is not None:
        items.append(f"gradients clipped to {recipe.gradient_clipping:g}")
    if recipe.parameters:
        items.append(f"{counted(len(recipe.parameters), 'rule')} for parameters")
    said = recipe.augmentation.model_dump(exclude_defaults=True)
    items += [name.replace("_", " ") for name in said]
    # Lines end between two items only.
    text = "recipe: " + ", ".join(
        item.replace(" ", "\N{NO-BREAK SPACE}") for item in [*items, f"seed {recipe.seed}"]
    )
    lines = textwrap.fill(text, WIDTH, subsequent_indent=" " * 8, break_long_words=False)
    return lines.replace("\N{NO-BREAK SPACE}", " ")
