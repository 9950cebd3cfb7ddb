"""The shape of a kernel is stated as that of its input.

"Kernels of size 5 x 5 x 48" are what the next layer slides over its input and not the input
itself, which has the same channels (those of all groups together) and a height and width of its
own. Notes on a paper often copy the kernel under the word input. `weight_shape` is the quantity
that is meant: [kernels, channels that each one sees, height, width].

Example:

    archspec: 1
    name: example
    input: {channels: 96, height: 27, width: 27}
    layers:
      - {name: relu1, type: relu}
      - {name: conv2, type: conv2d, filters: 256, kernel_size: 5, padding: 2, groups: 2}
    claims:
      - {about: relu1, shape: [48, 5, 5], source: "notes, input of layer 2"}

Instead:

    archspec: 1
    name: example
    input: {channels: 96, height: 27, width: 27}
    layers:
      - {name: relu1, type: relu}
      - {name: conv2, type: conv2d, filters: 256, kernel_size: 5, padding: 2, groups: 2}
    claims:
      - {about: relu1, shape: [96, 27, 27], source: computed}
      - {about: conv2, weight_shape: [256, 48, 5, 5], source: "notes, input of layer 2"}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.5
"""

from archspec.rules.base import Rule

RULE = Rule("AS308", "kernel-as-shape", "warning")
