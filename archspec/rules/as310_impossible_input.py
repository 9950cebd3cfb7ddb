"""The stated input does not fit the layers that are to read it.

With the input that the source prints, a window does not divide its map: the size of the output is
no whole number. Frameworks round it without a word, and different ones differently, so the figure
hides which network was really run. The paper prints 224 x 224, which gives 54.25 behind the first
convolution; 227 x 227 gives the 55 that the rest of it is built on.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: input, shape: [3, 224, 224], source: section 3.5}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
    claims:
      - {about: input, shape: [3, 227, 227], source: computed}

References:

    Krizhevsky, Sutskever and Hinton (2012), section 3.5 and figure 2
"""

from archspec.rules.base import Rule

RULE = Rule("AS310", "impossible-input", "warning")
