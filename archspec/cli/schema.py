"""Print the JSON Schema of the language."""

from __future__ import annotations

from archspec.cli.options import print_json


def schema() -> None:
    """Print the JSON Schema of the language, for editors."""
    from archspec.schema import json_schema

    print_json(json_schema())
