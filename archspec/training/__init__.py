"""Training: data, recipe, loop, checkpoints and metrics, the same for every backend."""

from archspec.training.loop import run as run
from archspec.training.options import RunOptions as RunOptions
from archspec.training.options import RunSummary as RunSummary
