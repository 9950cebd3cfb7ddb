"""The tools that count, run on the models that archspec builds."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

import archspec
from archspec.backends.torch import outputs
from archspec.graph import Graph

torch = pytest.importorskip("torch")
MISSING = "a tool of the development dependencies is not installed"
torchinfo = pytest.importorskip("torchinfo", reason=MISSING)
fvcore = pytest.importorskip("fvcore.nn", reason=MISSING)
ptflops = pytest.importorskip("ptflops", reason=MISSING)
thop = pytest.importorskip("thop", reason=MISSING)

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402 - behind the skips

# fvcore warns of every operator that it does not count.
logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)

Figures = dict[str, int | None]
Module = Any  # torch is not typed


def model(graph: Graph) -> Module:
    """The model with whatever was in memory for weights: nobody draws them to count them."""
    with torch.device("meta"):
        built = archspec.build(graph, backend="torch")
    return built.to_empty(device="cpu").eval()


def image(graph: Graph, batch: int = 1) -> Any:
    return torch.zeros(batch, *graph.input_shape)


def run_torchinfo(net: Module, images: Any) -> Figures:
    found = torchinfo.summary(net, input_data=images, verbose=0)
    return {
        "mult-adds": found.total_mult_adds,
        "params": found.total_params,
        "trainable": found.trainable_params,
    }


def run_fvcore(net: Module, images: Any) -> Figures:
    return {
        "flops": fvcore.FlopCountAnalysis(net, images).total(),
        "params": fvcore.parameter_count(net)[""],
    }


def run_ptflops(net: Module, images: Any, backend: str, **options: Any) -> Figures:
    macs, params = ptflops.get_model_complexity_info(
        net,
        tuple(images.shape[1:]),
        as_strings=False,
        print_per_layer_stat=False,
        backend=backend,
        **options,
    )
    return {"MACs": macs, "params": params}


def run_thop(net: Module, images: Any, **options: Any) -> Figures:
    macs, params = thop.profile(net, (images,), **{"verbose": False, **options})
    return {"MACs": macs, "params": params}


def run_flop_counter(net: Module, images: Any) -> int:
    """The FLOPs of one pass forward."""
    with FlopCounterMode(display=False) as counter:
        net(images)
    return int(counter.get_total_flops())


def run_flop_counter_backward(net: Module, images: Any) -> int:
    """The FLOPs of a pass forward and backward, an image, with all outputs of training.

    Batch normalisation refuses to train on one number, so there are several images.
    """
    net.train()
    with FlopCounterMode(display=False) as counter:
        sum(output.sum() for output in outputs(net(images))).backward()
    total = counter.get_total_flops()
    assert total % len(images) == 0
    return int(total // len(images))


def run_all(graph: Graph) -> dict[tuple[str, str], int | None]:
    """What the tools for PyTorch say: each figure by tool and quantity."""
    net, one = model(graph), image(graph)
    found = {
        "torchinfo": run_torchinfo(net, one),
        "fvcore": run_fvcore(net, one),
        "ptflops (pytorch)": run_ptflops(net, one, "pytorch"),
        "ptflops (aten)": run_ptflops(net, one, "aten"),
        "torch flop counter": {"forward": run_flop_counter(net, one)},
        "thop": run_thop(net, one),  # last: it leaves buffers behind
    }
    other = model(graph)
    if any(parameter.requires_grad for parameter in other.parameters()):
        both = run_flop_counter_backward(other, image(graph, batch=2))
        found["torch flop counter"]["step"] = both
    return {
        (tool, quantity): value
        for tool, figures in found.items()
        for quantity, value in figures.items()
    }


def run_keras_summary(graph: Graph) -> Figures:
    """The figures below the table that Keras prints."""
    text: list[str] = []
    archspec.build(graph, backend="keras").summary(print_fn=text.append)
    found = re.findall(r"^ (\w[\w-]*) params: ([\d,]+) \(", text[0], re.MULTILINE)
    names = {"Total": "params", "Trainable": "trainable", "Non-trainable": "non-trainable"}
    return {names[name]: int(figure.replace(",", "")) for name, figure in found}


def warned_by_fvcore(graph: Graph) -> set[str]:
    """The operators that it says it does not count."""
    analysis = fvcore.FlopCountAnalysis(model(graph), image(graph))
    analysis.total()
    return set(analysis.unsupported_ops())


def warned_by_ptflops(graph: Graph) -> set[str]:
    """The classes of modules that it says are no operations to it."""
    text = io.StringIO()
    run_ptflops(model(graph), image(graph), "pytorch", verbose=True, ost=text)
    return set(re.findall(r"module (\w+) is treated as a zero-op", text.getvalue()))


def warned_by_thop(graph: Graph, printed: Callable[[], str]) -> set[str]:
    """The classes of modules that it says it has no rule for."""
    run_thop(model(graph), image(graph), report_missing=True)
    return set(re.findall(r"Cannot find rule for <class '[\w.]*?(\w+)'>", printed()))
