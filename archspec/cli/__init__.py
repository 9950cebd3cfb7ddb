"""The `archspec` command: arguments in, results on standard output, the rest on standard error.

A command is a function in the module of the same name, whose docstring is its line in the list
of commands; a module with `COMMANDS` is a group of them. Exit status: 0 fine, 1 the spec has
errors (or a comparison failed), 2 the command was used wrongly or something it needs is missing.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, MutableMapping
from types import ModuleType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from archspec.cli.options import console, say

COMMANDS = (
    "analyze",
    "draw",
    "check",
    "diff",
    "expand",
    "explain",
    "specs",
    "build",
    "verify",
    "data",
    "train",
    "runs",
    "evaluate",
    "predict",
    "weights",
    "schema",
)
_SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class _Commands(MutableMapping[str, Any]):
    """The commands by name; each is imported when it is asked for, and the others are not."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._loaded:
            module = importlib.import_module(f"archspec.cli.{name}")
            self._loaded[name] = _group(module) if hasattr(module, "COMMANDS") else _one(module)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _one(module: ModuleType) -> Any:
    """The command of a module."""
    name = module.__name__.rpartition(".")[2]
    alone = typer.Typer(**_SETTINGS)
    alone.command(name, short_help=module.__doc__)(getattr(module, name))
    return typer.main.get_command(alone)


def _group(module: ModuleType) -> Any:
    """The commands of a module, one below the other in its help."""
    name = module.__name__.rpartition(".")[2]
    group = typer.Typer(name=name, help=module.__doc__, no_args_is_help=True, **_SETTINGS)
    for command in module.COMMANDS:
        group.command(command.rstrip("_"))(getattr(module, command))  # `list_` is `list`
    return typer.main.get_command(group)


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()


app = typer.Typer(
    name="archspec",
    cls=_Group,
    help="Architecture specs that compile: verified facts and equal models from one YAML file.",
    no_args_is_help=True,
    **_SETTINGS,
)


def main() -> None:
    """The entry point: every expected failure is a message and an exit status."""
    import gc

    from archspec.diagnostics import ArchspecError, SpecError

    # Start-up creates objects and no garbage: looking for some takes a tenth of the time.
    gc.set_threshold(100_000)
    try:
        try:
            app(prog_name="archspec")
        finally:
            sys.stdout.flush()  # here, where what goes wrong is told
    except SpecError as error:
        from archspec.report.diagnostics import print_diagnostics

        print_diagnostics(console(stderr=True), error.diagnostics)
        raise SystemExit(1) from None
    except ArchspecError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader went away (`| head`): not an error, and nothing more can be written.
        _write_no_more()
        raise SystemExit(0) from None
    except OSError as error:
        # Errors of files have their names, and messages where the files are opened.
        if error.filename is not None:
            raise
        _write_no_more()
        _fail(f"cannot write the result: {error.strerror}")
    except MemoryError:
        _fail("there is too little memory for this; try a smaller batch or input")
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from archspec import __version__

        print(f"archspec {__version__}")
        raise typer.Exit


def _write_no_more() -> None:
    """Let what is left for standard output go nowhere, so that no error comes of it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> NoReturn:
    say(f"archspec: {message}")
    raise SystemExit(2)
