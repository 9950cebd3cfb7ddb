"""Architecture specs that compile: one YAML file, verified facts, equal models.

>>> import archspec
>>> net = archspec.load("alexnet")
>>> archspec.analyze(net).totals.params
60965224
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.version import __version__ as __version__

if TYPE_CHECKING:
    from archspec.analysis import Analysis as Analysis
    from archspec.api import build as build
    from archspec.api import compare_runs as compare_runs
    from archspec.api import conventions as conventions
    from archspec.api import diff as diff
    from archspec.api import emit as emit
    from archspec.api import evaluate as evaluate
    from archspec.api import load_weights as load_weights
    from archspec.api import predict as predict
    from archspec.api import save_weights as save_weights
    from archspec.api import train as train
    from archspec.api import verify as verify
    from archspec.api import verify_source as verify_source
    from archspec.diagnostics import ArchspecError as ArchspecError
    from archspec.diagnostics import Diagnostic as Diagnostic
    from archspec.diagnostics import SpecError as SpecError
    from archspec.graph import Graph as Graph
    from archspec.loading import analyze as analyze
    from archspec.loading import load as load
    from archspec.report.drawing import draw as draw

_HOMES = {
    "Analysis": "archspec.analysis",
    "ArchspecError": "archspec.diagnostics",
    "Diagnostic": "archspec.diagnostics",
    "Graph": "archspec.graph",
    "SpecError": "archspec.diagnostics",
    "analyze": "archspec.loading",
    "build": "archspec.api",
    "compare_runs": "archspec.api",
    "conventions": "archspec.api",
    "diff": "archspec.api",
    "draw": "archspec.report.drawing",
    "emit": "archspec.api",
    "evaluate": "archspec.api",
    "load": "archspec.loading",
    "predict": "archspec.api",
    "load_weights": "archspec.api",
    "save_weights": "archspec.api",
    "train": "archspec.api",
    "verify": "archspec.api",
    "verify_source": "archspec.api",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import archspec` itself costs nothing."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'archspec' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
