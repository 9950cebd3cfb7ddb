"""The known faults of the tools, each shown in the tool itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from counters import (
    image,
    model,
    run_flop_counter,
    run_flop_counter_backward,
    run_fvcore,
    run_ptflops,
    run_thop,
    run_torchinfo,
    torch,
)
from networks import heads, layer, network

import archspec
from archspec import api
from archspec.analysis import conventions
from archspec.analysis.conventions import (
    common,
    ptflops_pytorch,
    thop,
    torch_flop_counter,
    torchinfo,
)
from archspec.analysis.conventions.base import Rule

nn = torch.nn
SHOWN: set[str] = set()
MAP = (1, 4, 6, 6)
FLAT = 4 * 6 * 6

Test = Callable[..., None]


def shows(*rules: Rule) -> Callable[[Test], Test]:
    """Marks the test that shows the faults of some rules."""
    assert all(rule.fault for rule in rules)
    SHOWN.update(rule.reason for rule in rules)
    return lambda test: test


def again(module: str) -> Rule:
    """The second time that ptflops counts a module."""
    return ptflops_pytorch.RULES[module][1]


def ptflops(net: Any, images: Any, backend: str = "pytorch") -> int | None:
    return run_ptflops(net, images, backend)["MACs"]


@shows(torch_flop_counter.GROUPS)
def test_torch_counts_weight_gradients_as_if_there_were_no_groups() -> None:
    images = torch.zeros(MAP)
    whole = run_flop_counter(nn.Conv2d(4, 4, 3, groups=2), images)
    # Forward and the gradient of as many weights: twice what forward takes. The input of the first
    # layer needs no gradient.
    assert run_flop_counter_backward(nn.Conv2d(4, 4, 3), images) == 2 * 2 * whole
    assert run_flop_counter_backward(nn.Conv2d(4, 4, 3, groups=2), images) == whole + 2 * whole


@shows(torchinfo.TRANSPOSED, thop.TRANSPOSED)
def test_torchinfo_and_thop_count_transposed_convolutions_at_their_output() -> None:
    images = torch.zeros(MAP)
    net = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, stride=2, bias=False))
    macs = run_flop_counter(net, images) // 2
    assert macs == FLAT * 4 * 2 * 2  # every input element meets the weights of all filters
    assert ptflops(net, images) == ptflops(net, images, "aten") == macs
    assert run_fvcore(net, images)["flops"] == macs
    # There are four times as many places in the output.
    assert run_torchinfo(net, images)["mult-adds"] == 4 * macs
    assert run_thop(net, images)["MACs"] == 4 * macs


@shows(torchinfo.ONCE)
def test_torchinfo_counts_a_normalisation_once_whatever_the_map() -> None:
    net = nn.Sequential(nn.BatchNorm2d(4)).eval()
    for side in (1, 2, 50):
        images = torch.zeros(1, 4, side, side)
        assert run_torchinfo(net, images)["mult-adds"] == 2 * 4
        assert run_fvcore(net, images)["flops"] == 2 * 4 * side * side


@shows(again("nn.ReLU"), again("nn.MaxPool2d"), again("nn.Upsample"))
@pytest.mark.parametrize(
    ("module", "each"),
    [
        (nn.ReLU(), FLAT),
        (nn.GELU(), FLAT),
        (nn.MaxPool2d(2), FLAT),
        (nn.AvgPool2d(2), FLAT),
        (nn.AdaptiveAvgPool2d(1), FLAT),
        (nn.Upsample(scale_factor=2), 4 * FLAT),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, nn.Module) else "",
)
def test_ptflops_counts_a_module_and_the_function_that_it_calls(module: Any, each: int) -> None:
    images = torch.zeros(MAP)
    assert ptflops(nn.Sequential(module), images) == 2 * each
    functions = {"count_functional": False}
    alone = run_ptflops(nn.Sequential(module), images, "pytorch", backend_specific_config=functions)
    assert alone["MACs"] == each


@shows(common.UNKNOWN_CONVOLUTION)
def test_ptflops_and_thop_do_not_know_a_class_that_derives_from_a_convolution() -> None:
    class Mine(nn.Conv2d):
        """Nothing but another name."""

    images = torch.zeros(MAP)
    net = nn.Sequential(Mine(4, 5, 3, bias=False))
    macs = 5 * 4 * 4 * 4 * 9
    assert run_flop_counter(net, images) == 2 * macs
    assert ptflops(net, images, "aten") == macs
    assert ptflops(net, images) == 0
    assert run_thop(net, images) == {"MACs": 0, "params": 0}


def test_torchinfo_knows_a_convolution_by_its_name() -> None:
    class Mine(nn.Conv2d):
        """Nothing but another name."""

    class MineConv(Mine):
        """And one with the word in it."""

    images = torch.zeros(MAP)
    counted = [
        run_torchinfo(nn.Sequential(kind(4, 5, 3, bias=False)), images)["mult-adds"]
        for kind in (nn.Conv2d, MineConv, Mine)
    ]
    assert counted == [5 * 4 * 9 * 4 * 4, 5 * 4 * 9 * 4 * 4, 5 * 4 * 9]


@shows(ptflops_pytorch.AFFINE_LAYER_NORM)
def test_ptflops_looks_for_scale_and_shift_of_a_layer_norm_under_another_name() -> None:
    images = torch.zeros(1, 6)
    counted = {
        affine: ptflops(nn.Sequential(nn.LayerNorm(6, elementwise_affine=affine)), images)
        for affine in (True, False)
    }
    assert counted == {True: 6, False: 6}
    images = torch.zeros(MAP)
    counted = {
        affine: ptflops(nn.Sequential(nn.GroupNorm(2, 4, affine=affine)), images)
        for affine in (True, False)
    }
    assert counted == {True: 2 * FLAT, False: FLAT}


@shows(thop.NOT_KNOWN)
def test_thop_leaves_out_the_parameters_of_what_it_has_no_rule_for() -> None:
    images = torch.zeros(MAP)
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4))
    assert sum(parameter.numel() for parameter in net.parameters()) == 20 + 8
    assert run_thop(net, images)["params"] == 20


@shows(thop.NOT_RUN)
def test_thop_leaves_out_the_parameters_of_what_does_not_run() -> None:
    graph = heads(norms=False)
    net = model(graph)
    apart = sum(
        layer.costs.params for layer in archspec.analyze(graph).layers if layer.training_only
    )
    whole = sum(parameter.numel() for parameter in net.parameters())
    assert apart > 0
    assert run_thop(net, image(graph))["params"] == whole - apart


def test_thop_leaves_buffers_in_the_modules_that_it_has_no_rule_for() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh())
    before = set(net.state_dict())
    run_thop(net, torch.zeros(MAP))
    left = {"1.total_ops", "1.total_params"}
    assert set(net.state_dict()) - before == left


def test_fvcore_counts_a_global_average_only_as_an_adaptive_pool() -> None:
    class Mean(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3), keepdim=True)

    images = torch.zeros(MAP)
    assert run_fvcore(nn.AdaptiveAvgPool2d(1), images)["flops"] == FLAT
    assert run_fvcore(Mean(), images)["flops"] == 0


def test_ptflops_counts_a_sum_only_as_a_function() -> None:
    class Function(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.add(x, x)

    class Operator(nn.Module):
        def forward(self, x: Any) -> Any:
            return x + x

    images = torch.zeros(MAP)
    assert ptflops(nn.Sequential(Function()), images) == FLAT
    assert ptflops(nn.Sequential(Operator()), images) == 0


def test_ptflops_counts_other_numbers_without_data() -> None:
    """On the meta device PyTorch computes shapes by functions that it counts."""
    net = nn.Sequential(nn.Linear(6, 5))
    assert ptflops(net, torch.zeros(1, 6)) == 35
    counted = ptflops(net.to("meta"), torch.zeros(1, 6))
    assert counted is not None
    assert counted > 35


def failures(graph: Any) -> dict[str, Any]:
    """What comes of each tool: its figures, None or an exception in the place of any."""

    def tried(run: Callable[[], Any]) -> Any:
        try:
            return run()
        except (KeyError, TypeError) as error:
            return type(error)

    one = image(graph)
    return {
        "torchinfo": tried(lambda: run_torchinfo(model(graph), one)),
        "ptflops (pytorch)": tried(lambda: run_ptflops(model(graph), one, "pytorch")),
        "ptflops (aten)": tried(lambda: run_ptflops(model(graph), one, "aten")),
        "thop": tried(lambda: run_thop(model(graph), one)),
    }


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("kernel_size", "torchinfo"),
        ("block.kernel_size", "torchinfo"),
        ("accumulate_flops", "ptflops (pytorch)"),
        ("block.accumulate_flops", "ptflops (pytorch)"),
        ("start_flops_count", "ptflops (pytorch)"),
        ("stop_flops_count", "ptflops (pytorch)"),
        ("reset_flops_count", "ptflops (pytorch)"),
        ("compute_average_flops_cost", "ptflops (pytorch)"),
        ("block.start_flops_count", ""),
        ("total_ops", "thop"),
        ("total_params.conv", "thop"),
        ("Global", "ptflops (aten)"),
        ("Global.conv", ""),
        ("weight", ""),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_names_that_a_tool_gives_to_something_else(name: str, tool: str) -> None:
    graph = network([layer(name, "conv2d", filters=4, kernel_size=3), layer("relu", "relu")])
    found = failures(graph)
    figures = api.conventions(archspec.analyze(graph)).figures
    for figure in figures:
        if figure.tool not in found:
            continue
        value = found[figure.tool]
        value = value[figure.quantity] if isinstance(value, dict) else None
        if figure.tool == tool == "ptflops (aten)":
            if figure.quantity == "MACs":
                assert value == 2 * (figure.archspec + 4 * 6 * 6)  # the biases
                assert figure.impossible == "it counts a layer called `Global` twice"
            continue
        assert figure.value == value, (figure.tool, figure.quantity)
        assert (value is None) == (figure.tool == tool)
        if figure.tool == tool:
            word = next(part for part in name.split(".") if part not in ("block", "conv"))
            expected = f"it fails where a layer or a block is called `{word}`"
            assert figure.impossible == expected


def tools() -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(conventions.__path__):
        yield importlib.import_module(f"{conventions.__name__}.{module.name}")


def test_every_fault_is_shown() -> None:
    rules: list[Rule] = []
    for tool in tools():
        found = vars(tool)
        rules += [value for value in found.values() if isinstance(value, Rule)]
        rules += [rule for entry in found.get("RULES", {}).values() for rule in entry]
    assert {rule.reason for rule in rules if rule.fault} == SHOWN
