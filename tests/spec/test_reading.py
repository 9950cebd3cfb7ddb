"""Messages about values: in the field's words, whichever field and whichever value it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from archspec import source
from archspec.diagnostics import Problem, listing
from archspec.layers import layer_types
from archspec.spec import foreign_names
from archspec.spec.network import NetworkSpec
from archspec.spec.places import members, models
from archspec.spec.reading import read

JARGON = ("nput should", "valid", "dictionary", "instance", "tuple", "NoneType", "extra", "Field")
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**20, -1e300, "", "x", "3", "$x", "a b", [], [0], [1, 2, 3]),
    *([[1]], {}, {"x": 1}, {"type": "normal"}, {"type": "x"}, {"type": [1]}, {"type": None}),
]


def problems(model: type[BaseModel], value: Any) -> list[Problem]:
    return read(model, source.parse(json.dumps(value), "").root, "the thing")[1]


def parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and every model below it."""
    yield model
    for field in model.model_fields.values():
        for inner in _inner(field.annotation):
            yield from parts(inner)


def _inner(annotation: Any) -> list[type[BaseModel]]:
    found = models(annotation)
    for member in members(annotation):
        if get_origin(member) is tuple:
            found += models(get_args(member)[0])
    return found


EVERY: dict[str, type[BaseModel]] = {
    model.__name__: model for top in (NetworkSpec, *layer_types().values()) for model in parts(top)
}


@pytest.mark.parametrize("name", EVERY)
def test_no_message_speaks_of_python(name: str) -> None:
    model = EVERY[name]
    for field in model.model_fields:
        for value in ODD:
            for problem in problems(model, {field: value}):
                text = f"{problem.message} {problem.help or ''}".replace("`valid`", "")
                assert not any(word in text for word in JARGON), text
                assert problem.span is not None
                assert "cannot be" not in text or problem.rule == "invalid-name", text


# What a claim needs depends on what it states: tests/data/invalid/claims.yaml.
@pytest.mark.parametrize("name", sorted(EVERY.keys() - {"Claim"}))
def test_every_missing_key_is_named(name: str) -> None:
    needed = [key for key, field in EVERY[name].model_fields.items() if field.is_required()]
    found = problems(EVERY[name], {})
    assert [p.message for p in found] == [f"the thing needs the key `{key}`" for key in needed]
    assert {p.rule for p in found} <= {"missing-key"}


@pytest.mark.parametrize("name", EVERY)
def test_an_unknown_key_never_costs_the_others(name: str) -> None:
    (problem, *rest) = [
        p for p in problems(EVERY[name], {"zzzzzzzz": 1}) if p.rule == "unknown-key"
    ]
    assert not rest
    assert problem.help == f"its keys are {listing(EVERY[name].model_fields)}"


def test_options_are_all_named() -> None:
    for model in EVERY.values():
        for key, field in model.model_fields.items():
            options = [
                option
                for member in members(field.annotation)
                if get_origin(member) is Literal
                for option in get_args(member)
            ]
            (problem, *_) = [
                p
                for p in problems(model, {key: "no-such-word"})
                if p.rule != "missing-key" or not options
            ] or [None]
            for option in options if problem is not None and problem.rule != "wrong-type" else ():
                assert f"`{option}`" in problem.message, (model, key)


def test_foreign_names_lead_to_names_that_exist() -> None:
    keys = {key for model in EVERY.values() for key in model.model_fields}
    assert {key for meant in foreign_names._KEYS.values() for key in meant} <= keys
    assert set(foreign_names._LAYER_TYPES.values()) <= set(layer_types())
    assert set(foreign_names._REMARKS) <= set(foreign_names._KEYS)
    assert not set(foreign_names._NO_KEY) & keys


def test_a_foreign_name_is_no_name_of_the_language_where_it_is_suggested() -> None:
    for model in EVERY.values():
        known = list(model.model_fields)
        for word in foreign_names._KEYS:
            if word not in known:
                suggestion = foreign_names.suggest_key(word, known)
                assert suggestion is None or f"`{word}`?" not in suggestion


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Conv2D", "conv2d"),
        ("Convolution", "conv2d"),
        ("Linear", "dense"),
        ("fully_connected", "dense"),
        ("InnerProduct", "dense"),
        ("BatchNormalization", "batch_norm"),
        ("BatchNorm2d", "batch_norm"),
        ("LRN", "local_response_norm"),
        ("MaxPooling2D", "max_pool2d"),
        ("AveragePooling2D", "avg_pool2d"),
        ("GlobalAveragePooling2D", "global_avg_pool2d"),
        ("AdaptiveAvgPool2d", "adaptive_avg_pool2d"),
        ("ZeroPadding2D", "zero_pad2d"),
        ("Hardswish", "hard_swish"),
        ("LeakyReLU", "leaky_relu"),
        ("Concatenate", "concat"),
        ("soft_max", "softmax"),
        ("drop_out", "dropout"),
    ],
)
def test_foreign_layer_types(word: str, meant: str) -> None:
    assert foreign_names.suggest_layer_type(word, layer_types()) == f"did you mean `{meant}`?"


def test_long_words_get_no_suggestion() -> None:
    assert foreign_names.suggest_key("x" * 101, ["x" * 100]) is None
    assert foreign_names.suggest_layer_type("x" * 101, ["x" * 100]) is None


def test_a_key_under_another_name_is_reported_once() -> None:
    layer = {"name": "a", "type": "conv2d", "out_channels": 3, "kernel_size": 1}
    (problem,) = problems(layer_types()["conv2d"], layer)
    assert (problem.rule, problem.help) == ("unknown-key", "did you mean `filters`?")


def test_one_problem_for_a_value_that_fits_no_member_of_a_union() -> None:
    spec = {
        "archspec": 1,
        "name": "n",
        "input": {"channels": 1, "height": 1, "width": 1},
        "variables": {"a": [1], "b": {}, "c": None, "d": 1},
        "layers": [1],
    }
    found = problems(NetworkSpec, spec)
    assert [p.message.split(" ")[0] for p in found] == [
        "`variables.b`",
        "`variables.c`",
    ]


def test_known_problems_are_not_followed_up() -> None:
    root = source.parse("{name: a, type: !!x conv2d, filters: .nan, kernel_size: 0}", "").root
    _, found = read(layer_types()["conv2d"], root, "the thing")
    assert [p.rule for p in found] == ["wrong-value"]
    assert "kernel_size" in found[0].message
