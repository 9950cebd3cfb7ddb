"""A reshape asks for more or fewer elements than it gets.

`reshape` cuts the elements of its input anew and neither drops nor repeats any, so the product of
the sizes stays. The shapes leave out the batch, and a size of -1 that stands for the rest (as in
PyTorch, Keras and ONNX) is written out: the message has both products.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 4, width: 4}
    layers:
      - {name: cut, type: reshape, shape: [4, 3, 3]}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 4, width: 4}
    layers:
      - {name: cut, type: reshape, shape: [12, 2, 2]}
"""

from archspec.rules.base import Rule

RULE = Rule("AS111", "element-counts-differ", "error")
