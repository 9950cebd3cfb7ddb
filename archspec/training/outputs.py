"""What a network ends in, for the loss and for the likeliest classes."""

from __future__ import annotations

from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.spec.fields import INPUT


def ending_in_logits(graph: Graph) -> Graph:
    """The network without softmax layers at its ends. Raises ArchspecError where one is read.

    Loss and probabilities are computed from logits.
    """
    for place in range(len(graph.outputs)):
        while (name := graph.outputs[place]) != INPUT:
            if graph.by_name[name].layer.type != "softmax":
                break
            if graph.consumers[name]:
                (before,) = graph.by_name[name].inputs
                raise ArchspecError(
                    f"the output {name} is a softmax, which the loss is computed without, and "
                    f"{graph.consumers[name][0]} reads it; let that read {before}"
                )
            graph = graph.without(name)
    repeated = [name for name in graph.outputs if graph.outputs.count(name) > 1]
    if repeated:
        raise ArchspecError(
            f"without the softmax, which is left to the loss, two outputs are {repeated[0]}; "
            "leave one of them out of `auxiliary`"
        )
    return graph
