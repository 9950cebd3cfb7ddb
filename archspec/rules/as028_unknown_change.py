"""A variant changes a layer that the network does not have.

The names under `changes:` are those of the list of layers that the spec extends, dotted into
blocks and groups: `stage2.block1.conv`. A repeated entry may be changed as a whole (`block`) or
one repetition at a time (`block2`). `archspec expand` on the spec that is extended prints every
name. A layer that an earlier change has taken away is not there to be changed any more.
"""

from archspec.rules.base import Rule

RULE = Rule("AS028", "unknown-change", "error")
