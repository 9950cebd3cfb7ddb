"""A YAML tag or a merge key stands in the spec.

Tags such as `!!python/object/apply:os.system` make a YAML reader create objects, and with an
unsafe one run any program. A spec is data from strangers, so archspec reads plain values only
and refuses every tag, harmless ones such as `!!float` included: each value already has one type.
Merge keys (`<<: *base`) are refused because they decide silently which of two values counts.
To use a value in several places, declare a variable, or use an anchor and an alias.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: drop1, type: dropout, rate: !!float 0.5}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    layers:
      - {name: drop1, type: dropout, rate: 0.5}

References:

    PyYAML: yaml.load and arbitrary code (https://pyyaml.org/wiki/PyYAMLDocumentation)
"""

from archspec.rules.base import Rule

RULE = Rule("AS005", "yaml-tag", "error")
