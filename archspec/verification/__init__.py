"""Whether every installed backend builds the same network: outputs and gradients, layer by layer.

`comparison` compares, `errors` measures, `checks` is where further checks are plugged in.
"""

from archspec.verification.checks import CHECKS, Check, Subject
from archspec.verification.comparison import BOUNDS, Verification, verify
from archspec.verification.errors import GradientError, OutputError

__all__ = [
    "BOUNDS",
    "CHECKS",
    "Check",
    "GradientError",
    "OutputError",
    "Subject",
    "Verification",
    "verify",
]
