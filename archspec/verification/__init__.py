"""Whether every installed backend builds the same network: outputs and gradients, layer by layer.

`comparison` puts it together: `bench` compares outputs and gradients, `steps` compares training,
`errors` measures, `rounding` says how much may be, `verdict` what differs first and why. `checks`
is where further checks are plugged in.
"""

from archspec.verification.checks import CHECKS, Check, Subject
from archspec.verification.comparison import Verification, verify
from archspec.verification.errors import GradientError, OutputError
from archspec.verification.rounding import PROMISE
from archspec.verification.steps import LossError, Training, WeightError
from archspec.verification.verdict import Difference

__all__ = [
    "CHECKS",
    "PROMISE",
    "Check",
    "Difference",
    "GradientError",
    "LossError",
    "OutputError",
    "Subject",
    "Training",
    "Verification",
    "WeightError",
    "verify",
]
