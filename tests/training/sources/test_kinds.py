"""What `--data` takes is told wherever somebody looks for it."""

from __future__ import annotations

import inspect

from pages import ROOT

from archspec.cli.train import train
from archspec.training.sources import KINDS


def test_every_kind_is_in_the_help_and_in_the_docs() -> None:
    option = inspect.signature(train, eval_str=True).parameters["data"].annotation.__metadata__[0]
    page = (ROOT / "docs" / "data.md").read_text("utf-8")
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 5
    for kind in KINDS:
        assert f"`{kind.forms[0]}`" in option.help, kind.name
        for form in kind.forms:
            assert f"`{form}`" in page
