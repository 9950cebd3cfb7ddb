"""A value has the right type and cannot be used.

A size of 0, a probability above 1, a word that is not among the options, a number that is not
finite, or a list of the wrong length. The message says what the key takes and shows what it got.
Dropout is a frequent case: `rate` is the share of elements that is zeroed, from 0 to below 1; a
layer that keeps 80 % has a rate of 0.2, and one that drops everything would compute nothing.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: drop1, type: dropout, rate: 1.0}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: drop1, type: dropout, rate: 0.5}

References:

    Srivastava et al. (2014), section 4: p is the share that is kept
    torch.nn.Dropout: p is the share that is zeroed (https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html)
"""

from archspec.rules.base import Rule

RULE = Rule("AS013", "wrong-value", "error")
