"""`--fail-on`: what breaks a condition, and what is said to one that cannot be read."""

from __future__ import annotations

import pytest
from networks import layer, network

import archspec
from archspec.analysis.diff.comparison import QUANTITIES
from archspec.analysis.diff.conditions import AMOUNTS, ASPECTS, failures, parse
from archspec.diagnostics import ArchspecError


def broken(a: str, b: str, *conditions: str) -> set[str]:
    found = archspec.diff(a, b)
    return {condition.text for condition, _ in failures(found, map(parse, conditions))}


def test_nothing_fails_for_the_same_network() -> None:
    assert broken("alexnet", "alexnet", *AMOUNTS, *ASPECTS, *(f"{a}>0" for a in AMOUNTS)) == set()


@pytest.mark.parametrize("amount", AMOUNTS)
def test_every_amount_fails_where_it_differs(amount: str) -> None:
    """resnet34 has more of everything than resnet18, and resnet18 less."""
    assert broken("resnet18", "resnet34", amount, f"{amount}>0", f"{amount}>1%") == {
        amount, f"{amount}>0", f"{amount}>1%",
    }  # fmt: skip
    assert broken("resnet34", "resnet18", amount, f"{amount}>0", f"{amount}>1%") == {amount}


def test_limits() -> None:
    """65,011,712 of 61,100,840 parameters more would be 106 %; here it is the classes: 1000 to
    2000 units of 4097 numbers."""
    a, b = archspec.load("alexnet"), archspec.load("alexnet", classes=2000)
    more = 4097 * 1000
    found = archspec.diff(a, b)
    assert found.difference("params") == more

    def fails(text: str) -> bool:
        return bool(failures(found, [parse(text)]))

    assert fails(f"params>{more - 1}")
    assert not fails(f"params>{more}")
    assert fails("params > +4.096M")
    assert not fails("params>4.097M")
    assert not fails("params>4.097e6")
    share = 100 * more / 60_965_224  # 6.72
    assert fails("params>6.72%")
    assert share < 6.73
    assert not fails("params>6.73%")
    assert fails("memory>15MiB")  # 4 bytes each: 15.6 MiB
    assert not fails("memory>16MiB")
    assert fails("weight_bytes>16003k")
    assert fails("PARAMS>1")
    ((condition, reason),) = failures(found, [parse("params>1%")])
    assert condition.text == "params>1%"
    assert reason == "60,965,224 in A, 65,062,224 in B (+4,097,000, +6.72 %)"


def test_percent_of_nothing() -> None:
    """Any parameter is more than any percentage of none."""
    bare = network([layer("a", "relu")])
    more = network([layer("a", "relu"), layer("b", "conv2d", filters=1, kernel_size=1)])
    assert failures(archspec.diff(bare, more), [parse("params>1000%")])


@pytest.mark.parametrize(
    ("a", "b", "aspects"),
    [
        ("alexnet", "alexnet-224", {"shapes", "any"}),
        ("alexnet", "caffenet", {"shapes", "layers", "semantics", "recipe", "any"}),
        ("vgg16", "vgg16-bn", {"layers", "semantics", "any"}),
        ("resnet50", "resnet50-v1", {"shapes", "semantics", "any"}),
        ("alexnet", "alexnet-keras-valid", {*ASPECTS}),
    ],
)
def test_aspects(a: str, b: str, aspects: set[str]) -> None:
    assert broken(a, b, *ASPECTS) == aspects


def test_aspects_of_a_change_in_names_or_recipe_alone() -> None:
    conv = {"filters": 4, "kernel_size": 3}
    recipe = {"epochs": 5, "batch_size": 8, "optimizer": {"type": "sgd", "learning_rate": 0.1}}
    a = network([layer("a", "conv2d", **conv)], training=recipe)
    renamed = network([layer("b", "conv2d", **conv)], training=recipe)
    longer = network([layer("a", "conv2d", **conv)], training={**recipe, "epochs": 6})
    for other, aspect in ((renamed, "names"), (longer, "recipe")):
        found = failures(archspec.diff(a, other), map(parse, ASPECTS))
        assert {condition.text for condition, _ in found} == {aspect, "any"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "what may not differ"),
        ("para ms", "what may not differ"),
        ("param", "did you mean `params`?"),
        ("speed", "it knows params, "),
        ("params<5", "what may not differ"),
        ("params>", "a number of at least 0"),
        ("params>-5", "a number of at least 0"),
        ("params>5 percent", "a number of at least 0"),
        ("params>1e999", "a number of at least 0"),
        ("params>nan", "a number of at least 0"),
        ("params>5TB", "KiB, MiB, GiB"),
        ("shapes>5", "`shapes` is no number"),
        ("params\n>\x1b5", "a number"),
        ("x" * 10_000, "--fail-on knows no `xxx"),
    ],
)
def test_conditions_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(ArchspecError) as error:
        parse(text)
    assert words in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_what_can_be_watched() -> None:
    assert set(AMOUNTS) == {*QUANTITIES, "memory"}
    assert not set(AMOUNTS) & set(ASPECTS)
