"""A layer or the recipe does not have the setting that its source states.

`settings` are keys of a layer (`size`, `rate`, `stride`, `weight_init.std`) or, about `training`,
of the recipe (`weight_decay`, `batch_size`, `schedule.factor`). They have no effect on any shape,
so nothing else tells that they were copied wrongly: a radius of 5 for a window of 5, a weight
decay that is scaled by the learning rate twice, a dropout of 0.4.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
      - name: lrn1
        type: local_response_norm
        size: 9
        alpha: 1.0e-4
        beta: 0.75
        k: 2
        alpha_mode: sum
    claims:
      - {about: lrn1, settings: {size: 5, k: 2}, source: section 3.3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 227, width: 227}
    layers:
      - {name: conv1, type: conv2d, filters: 96, kernel_size: 11, stride: 4}
      - name: lrn1
        type: local_response_norm
        size: 5
        alpha: 1.0e-4
        beta: 0.75
        k: 2
        alpha_mode: sum
    claims:
      - {about: lrn1, settings: {size: 5, k: 2}, source: section 3.3}

References:

    Krizhevsky, Sutskever and Hinton (2012), sections 3.3, 4.2 and 5
"""

from archspec.rules.base import Rule

RULE = Rule("AS313", "setting-differs", "warning")
