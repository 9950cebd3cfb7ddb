"""The keys of a recipe that the command line replaces."""

from __future__ import annotations

from typing import Any

import pytest
from small_runs import recipe, train

import archspec
from archspec import api
from archspec.diagnostics import ArchspecError
from archspec.spec.recipe import AdamW, CosineSchedule, Recipe
from archspec.training import RunOptions
from archspec.training.overrides import overridden

SGD = {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9, "weight_decay": 0.0005}
PLATEAU = {"type": "plateau", "factor": 0.3, "patience": 2}
BASE = recipe(optimizer=SGD, schedule=PLATEAU, warmup={"epochs": 3})


def changed(*assignments: str, **options: Any) -> Recipe:
    return overridden(BASE, RunOptions(recipe=api.parse_recipe(assignments), **options))


def refused(*assignments: str, **options: Any) -> str:
    with pytest.raises(ArchspecError) as caught:
        changed(*assignments, **options)
    return str(caught.value)


def test_nothing_given_is_the_recipe_itself() -> None:
    assert changed() is BASE


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("optimizer.momentum=0.95", "optimizer.momentum", 0.95),
        ("optimizer.nesterov=true", "optimizer.nesterov", True),
        ("schedule.patience = 7", "schedule.patience", 7),
        ("label_smoothing=0.1", "label_smoothing", 0.1),
        ("gradient_clipping=1e-3", "gradient_clipping", 0.001),
        ("warmup.factor=0.5", "warmup.factor", 0.5),
        ("warmup=null", "warmup", None),
        ("preprocessing.std=data", "preprocessing.std", "data"),
        ("preprocessing.mean=[1, 2, 3]", "preprocessing.mean", (1.0, 2.0, 3.0)),
        ("batch_size=16", "batch_size", 16),
    ],
)
def test_one_key_changes_and_no_other(assignment: str, path: str, value: Any) -> None:
    found = changed(assignment)
    *owners, last = path.split(".")
    one: Any = found
    for step in owners:
        one = getattr(one, step)
    assert getattr(one, last) == value
    document, before = found.model_dump(), BASE.model_dump()
    inside, outside = document, before
    for step in owners:
        inside, outside = inside[step], outside[step]
    inside[last] = outside[last]
    assert document == before


def test_a_mapping_is_made_on_the_way() -> None:
    plain = recipe()
    assert plain.warmup is None
    given = RunOptions(recipe={"warmup.epochs": 2, "warmup.factor": 0.1})
    found = overridden(plain, given)
    assert found.warmup is not None
    assert (found.warmup.epochs, found.warmup.factor) == (2, 0.1)


def test_another_type_takes_along_what_means_the_same() -> None:
    found = changed("optimizer.weight_decay=0.1", "optimizer.type=adamw")
    assert found.optimizer == AdamW(type="adamw", learning_rate=0.02, weight_decay=0.1)
    adam = changed("optimizer.type=adam").optimizer
    assert (adam.learning_rate, adam.weight_decay) == (0.02, 0.0005)  # coupled, as before
    # AdamW's decay is another one, so that it must be said.
    assert "`optimizer` of the recipe needs the key `weight_decay`" in refused(
        "optimizer.type=adamw"
    )
    assert changed("schedule.type=cosine").schedule == CosineSchedule(type="cosine")
    steps = changed("schedule.type=steps", "schedule.epochs=[2, 4]").schedule
    assert steps.model_dump() == {"type": "steps", "epochs": (2, 4), "factor": 0.3}


def test_whole_values_are_replaced() -> None:
    found = changed("schedule={type: cosine, final: 0.1}", "parameters=[{match: 'fc.*'}]")
    assert found.schedule == CosineSchedule(type="cosine", final=0.1)
    assert [rule.match for rule in found.parameters] == ["fc.*"]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["optimizer.momentm=0.9"], "has no key `momentm`; did you mean `momentum`?"),
        (["momentum=0.9"], "the recipe has no key `momentum`; `momentum` is a key of `optimizer`"),
        (["schedule.type=cosin"], "not the text `cosin`; did you mean `cosine`?"),
        (["schedule.type=[1]"], "`schedule.type` of the recipe must be"),
        (["epochs.x=3"], "`epochs` of the recipe has no keys of its own, it is `10`"),
        (["parameters.x=3"], "--recipe 'parameters=...'"),
        (["label_smoothing=1"], "`label_smoothing` of the recipe must be below 1, not `1`"),
        (["gradient_clipping=-1"], "must be above 0, not `-1`"),
        (["optimizer.nesterov=yes"], "must be `true` or `false`"),
        (["warmup.epochs=11"], "`warmup.epochs` of the recipe must be at most the 10 of the run"),
        (["epochs=2"], "`warmup.epochs` of the recipe must be at most the 2 of the run"),
        (["optimizer.nesterov=true", "optimizer.momentum=0"], "where there is no `momentum`"),
    ],
)
def test_what_is_no_recipe_names_the_option_and_the_key(
    assignments: list[str], message: str
) -> None:
    said = refused(*assignments)
    assert said.startswith(f"--recipe {assignments[0]}: ") or "type=[1]" in said
    assert message in said


def test_an_option_and_a_key_that_say_the_same() -> None:
    assert refused("seed=3", seed=1) == "--recipe seed is what --seed says; give one"
    assert "is what --lr says" in refused("optimizer.learning_rate=3", learning_rate=1.0)
    assert refused(epochs=2).startswith("--epochs 2: `warmup.epochs` of the recipe")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "--recipe takes name=value, such as optimizer.momentum=0.95, not `x`"),
        ("epochs=", "--recipe epochs= needs a value; `null` leaves the key out"),
        ("schedule={type: cosine", "`{type: cosine` cannot be read as a mapping"),
        ("parameters=[", "`[` cannot be read as a list"),
    ],
)
def test_what_is_no_assignment(text: str, message: str) -> None:
    with pytest.raises(ArchspecError) as caught:
        api.parse_recipe([text])
    assert str(caught.value).startswith(message)


def test_a_key_that_is_given_twice() -> None:
    with pytest.raises(ArchspecError, match="--recipe epochs is given twice"):
        api.parse_recipe(["epochs=1", "epochs=2"])


def test_the_words_of_the_command_line_say_the_same() -> None:
    given = {"optimizer.momentum": 0.5, "schedule": {"type": "cosine"}, "warmup": None}
    words = RunOptions(recipe=given).command("my.yaml")
    said = [words[i + 1] for i, word in enumerate(words) if word == "--recipe"]
    assert api.parse_recipe(said) == given


@pytest.mark.slow
def test_the_run_folder_has_the_recipe_as_it_was_run(tmp_path: Any) -> None:
    options = {"optimizer.type": "adam", "schedule.type": "cosine", "label_smoothing": 0.1}
    summary = train(tmp_path, epochs=2, learning_rate=0.003, recipe=options)
    ran = archspec.load(summary.folder / "spec.yaml").spec.training
    assert ran is not None
    assert ran.optimizer.model_dump(exclude_defaults=True) == {
        "type": "adam",
        "learning_rate": 0.003,
        "weight_decay": 0.0005,
    }
    assert (ran.schedule.type, ran.label_smoothing, ran.epochs) == ("cosine", 0.1, 2)
