"""YAML text to values, each with its place in the text.

PyYAML scans the text into events; the tree is built here, without recursion, because a spec
is untrusted and every value must remember line and column. What YAML 1.1 would do behind the
author's back is closed: scalars follow YAML 1.2's core schema (``1e-4`` is a number, ``on``
and ``no`` are words), a duplicate key is an error, tags and merge keys are refused, aliases
are counted where they expand.
"""

from archspec.diagnostics import SourceText, Span
from archspec.source.parsing import Kind, parse, value
from archspec.source.problems import MAX_PROBLEMS, Problems
from archspec.source.scalars import scalar
from archspec.source.text import MAX_BYTES, read_text, split_lines
from archspec.source.tree import MAX_DEPTH, MAX_VALUES, Document, Entry, Node, made

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_PROBLEMS",
    "MAX_VALUES",
    "Document",
    "Entry",
    "Kind",
    "Node",
    "Problems",
    "SourceText",
    "Span",
    "made",
    "parse",
    "read_text",
    "scalar",
    "split_lines",
    "value",
]
