"""An expression cannot be read.

`$(...)` holds numbers, texts in quotes, lists, names of variables without `$`, the operators
`+ - * / // %`, comparisons, `and`, `or`, `not`, `in`, a choice `a if condition else b`, `list[0]`,
and calls of the functions that docs/language.md lists. Between the braces of `{key: value}` a
comma or a bracket ends a value that has no quotes, so an expression with one of them needs
quotes: `filters: "$(max(a, b))"`.

Example:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: 16}
    layers:
      - {name: conv, type: conv2d, filters: $(width *), kernel_size: 3}

Instead:

    archspec: 1
    name: example
    input: {channels: 3, height: 32, width: 32}
    variables: {width: 16}
    layers:
      - {name: conv, type: conv2d, filters: $(width * 2), kernel_size: 3}
"""

from archspec.rules.base import Rule

RULE = Rule("AS016", "invalid-expression", "error")
