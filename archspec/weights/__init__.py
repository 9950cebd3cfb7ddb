"""Weights in files: the canonical store, and the readers of foreign formats.

The canonical store is a safetensors file: names such as ``conv1.weight``, convolutions O,I,H,W,
dense weights out,in over inputs flattened C,H,W. A foreign file is read into a `Foreign`
(`foreign.py`) by the module of `readers/` that knows its format, and its tensors find their layers
in one place (`matching.py`), whatever the format. Nothing in a file is ever executed.
"""

from archspec.weights.loaded import Loaded as Loaded
from archspec.weights.loaded import Misfit as Misfit
from archspec.weights.loading import load as load
from archspec.weights.loading import save as save
