"""A layer or the recipe does not have the setting that its source states.

`settings` are keys of a layer (`size`, `rate`, `stride`, `weight_init.std`) or, about `training`,
of the recipe (`weight_decay`, `batch_size`, `schedule.factor`). They have no effect on any shape,
so nothing else tells that they were copied wrongly: a radius of 5 for a window of 5, a weight
decay that is scaled by the learning rate twice, a dropout of 0.4.

Example:

    archspec: 1
    name: example
    input: {channels: 16, height: 6, width: 6}
    layers:
      - {name: pool5, type: global_avg_pool2d}
      - {name: drop6, type: dropout, rate: 0.4}
      - {name: fc6, type: dense, units: 10}
    claims:
      - {about: drop6, settings: {rate: 0.5}, source: section 4.2}

Instead:

    archspec: 1
    name: example
    input: {channels: 16, height: 6, width: 6}
    layers:
      - {name: pool5, type: global_avg_pool2d}
      - {name: drop6, type: dropout, rate: 0.5}
      - {name: fc6, type: dense, units: 10}
    claims:
      - {about: drop6, settings: {rate: 0.5}, source: section 4.2}

References:

    Krizhevsky, Sutskever and Hinton (2012), sections 3.3, 4.2 and 5
"""

from archspec.rules.base import Rule

RULE = Rule("AS313", "setting-differs", "warning")
