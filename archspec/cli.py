"""The `archspec` command: arguments in, results on standard output, the rest on standard error.

Exit status: 0 fine, 1 the spec has errors (or a comparison failed), 2 the command was used
wrongly or something it needs is missing.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from archspec.diagnostics import Diagnostic
    from archspec.graph import Graph

app = typer.Typer(
    name="archspec",
    help="Architecture specs that compile: verified facts and equal models from one YAML file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="A spec file, or the name of a shipped spec.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set a variable of the spec: classes=10."),
]
InputOption = Annotated[
    str | None,
    typer.Option("--input", metavar="CxHxW", help="Another input shape: 3x224x224."),
]


RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="DIR", help="The folder in which the spec may name other files; its own."
    ),
]
BackendOption = Annotated[
    str, typer.Option("--backend", metavar="torch|keras|...", help="The backend.")
]


class Precision(StrEnum):
    """Floating-point precisions of `archspec verify`."""

    float64 = "float64"
    float32 = "float32"


class Device(StrEnum):
    """Where `archspec train` computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class VerifyFormat(StrEnum):
    """Formats of `archspec verify`."""

    table = "table"
    json = "json"


class AnalyzeFormat(StrEnum):
    """Formats of `archspec analyze`."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"


class ListFormat(StrEnum):
    """Formats of `archspec check` and `archspec specs`."""

    text = "text"
    json = "json"


def main() -> None:
    """The entry point: every expected failure is a message and an exit status."""
    import gc

    from archspec.diagnostics import ArchspecError, SpecError

    # Start-up creates objects and no garbage: looking for some takes a tenth of the time.
    gc.set_threshold(100_000)
    try:
        app(prog_name="archspec")
    except SpecError as error:
        _print_errors(error.diagnostics)
        raise SystemExit(1) from None
    except ArchspecError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader went away (`| head`): not an error, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
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


@app.command(short_help="Shapes, parameters, operations, and what contradicts them.")
def analyze(
    spec: SpecArgument = "alexnet",
    format: Annotated[AnalyzeFormat, typer.Option("--format", help="How to print it.")] = (
        AnalyzeFormat.table
    ),
    input: InputOption = None,
    set_: SetOption = None,
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Images at once; scales activation memory.")
    ] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write to this file instead.")
    ] = None,
    root: RootOption = None,
) -> None:
    """Print every shape, parameter and operation, with the arithmetic and what contradicts it.

    Examples: archspec analyze alexnet; archspec analyze my.yaml --format json;
    archspec analyze alexnet --input 3x224x224
    """
    from archspec import api

    found = api.analyze(_load(spec, set_, input, root), batch=batch)
    if format is AnalyzeFormat.table:
        from archspec.report import table

        if output is None:
            table.print_analysis(_console(), found)
        else:
            with _open(output) as stream:
                table.print_analysis(_console(file=stream), found)
    else:
        from archspec.report import export

        writers = {"json": export.to_json, "csv": export.to_csv, "markdown": export.to_markdown}
        text = writers[format.value](found)
        if output is None:
            print(text)
        else:
            with _open(output) as stream:
                stream.write(text + "\n")
    if output is not None:
        _say(f"wrote {output}")
    if found.has_errors:
        raise typer.Exit(1)


@app.command(short_help="Report what is wrong with specs, as a linter does.")
def check(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Spec files or names.")],
    format: Annotated[ListFormat, typer.Option("--format", help="How to print it.")] = (
        ListFormat.text
    ),
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    root: RootOption = None,
) -> None:
    """Report what is wrong with specs, as a linter does: exit status 1 when there are errors."""
    from archspec import api
    from archspec.diagnostics import SpecError

    diagnostics: list[Diagnostic] = []
    for spec in specs:
        try:
            diagnostics += api.analyze(_load(spec, None, None, root)).diagnostics
        except SpecError as error:
            diagnostics += error.diagnostics
    if format is ListFormat.json:
        _print_json([diagnostic.to_json() for diagnostic in diagnostics])
    else:
        from archspec.report.diagnostics import counts, print_diagnostics

        console = _console()
        print_diagnostics(console, diagnostics)
        if diagnostics:
            console.print()
        files = f"{len(specs)} spec{'s' if len(specs) != 1 else ''}"
        console.print(f"{files}: {counts(diagnostics) or 'nothing to report'}", highlight=False)
    failing = ("error", "warning") if strict else ("error",)
    if any(diagnostic.severity in failing for diagnostic in diagnostics):
        raise typer.Exit(1)


@app.command(short_help="Print the plain spec that a spec amounts to.")
def expand(
    spec: SpecArgument = "alexnet",
    input: InputOption = None,
    set_: SetOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write to this file instead.")
    ] = None,
    root: RootOption = None,
) -> None:
    """Print the plain spec that a spec amounts to: one line a layer, nothing to look up.

    Variables are filled in, blocks and repetitions unrolled, what it extends and imports is
    part of it. Example: archspec expand resnet50 --set classes=10
    """
    from archspec import api

    text = api.expand(_load(spec, set_, input, root))
    if output is None:
        print(text, end="")
        return
    with _open(output) as stream:
        stream.write(text)
    _say(f"wrote {output}")


@app.command(short_help="Explain a diagnostic: AS101.")
def explain(
    code: Annotated[str, typer.Argument(help="A diagnostic's code or name: AS101.")],
) -> None:
    """Explain a diagnostic: what it says, why it matters, an example, and what to do instead."""
    from archspec import rules
    from archspec.diagnostics import ArchspecError, did_you_mean

    known = rules.rules()
    by_code = {rule.code: rule for rule in known.values()}
    rule = by_code.get(code.upper()) or known.get(code.lower())
    if rule is None:
        suggestion = did_you_mean(code, [*by_code, *known])
        raise ArchspecError(
            f"there is no diagnostic `{code}`; {suggestion or 'codes look like AS101'}"
        )
    print(f"{rule.code} {rule.name} ({rule.severity})\n\n{rules.page(rule)}")


@app.command(short_help="List the shipped specs.")
def specs(
    format: Annotated[ListFormat, typer.Option("--format", help="How to print it.")] = (
        ListFormat.text
    ),
) -> None:
    """List the shipped specs."""
    from archspec import api, catalog

    rows = []
    for name, path in catalog.shipped().items():
        found = api.analyze(name)
        rows.append(
            {
                "name": name,
                "title": found.graph.title,
                "file": str(path),
                "params": found.totals.params,
            }
        )
    if format is ListFormat.json:
        _print_json(rows)
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['params']:>13,}  {row['title']}")


@app.command(short_help="Write the model's source and build it.")
def build(
    spec: SpecArgument = "alexnet",
    backend: BackendOption = "torch",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The file to write; NAME_BACKEND.py when left out."),
    ] = None,
    set_: SetOption = None,
    source_only: Annotated[
        bool,
        typer.Option("--source-only", help="Write the source without running it."),
    ] = False,
    root: RootOption = None,
) -> None:
    """Write the model's source and build it: a class in a file that needs archspec no more.

    Examples: archspec build --backend torch; archspec build my.yaml --backend keras --output
    net.py; archspec build --source-only
    """
    from archspec import api
    from archspec.backends import get_backend

    graph = api.buildable(_load(spec, set_, None, root))
    chosen = get_backend(backend)
    if not source_only:
        chosen.require()
    source = chosen.emit(graph)
    file = output or Path(f"{graph.name.replace('-', '_')}_{chosen.name}.py")
    with _open(file) as stream:
        stream.write(source)
    print(f"wrote {file}: class {chosen.class_name(graph)}, {source.count(chr(10))} lines")
    if source_only:
        return
    model = chosen.build(graph)
    built = sum(weight.size for weight in chosen.save_weights(graph, model).values())
    totals = api.analyze(graph).totals
    expected = totals.trainable_params + totals.non_trainable_params
    print(f"built it: {built:,} numbers in weights and buffers, as the analysis says")
    if built != expected:
        raise RuntimeError(f"the analysis says {expected:,}")
    print(f"run it: python {file}")


@app.command(short_help="Compare the backends: outputs and gradients.")
def verify(
    spec: SpecArgument = "alexnet",
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", help="A backend to compare; every installed one if left out."),
    ] = None,
    dtype: Annotated[Precision, typer.Option("--dtype", help="The precision.")] = (
        Precision.float64
    ),
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images at once.")] = 2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For weights and images.")] = 0,
    set_: SetOption = None,
    input: InputOption = None,
    format: Annotated[VerifyFormat, typer.Option("--format", help="How to print it.")] = (
        VerifyFormat.table
    ),
    root: RootOption = None,
) -> None:
    """Compare every installed backend with the NumPy reference: outputs and gradients.

    Exit status 1 when they differ. Example: archspec verify alexnet --dtype float32
    """
    from archspec import api
    from archspec.report import verification

    found = api.verify(
        _load(spec, set_, input, root),
        backends=tuple(dict.fromkeys(backend)) if backend else None,
        dtype=dtype.value,
        batch=batch,
        seed=seed,
    )
    if format is VerifyFormat.json:
        print(verification.to_json(found))
    else:
        verification.print_verification(_console(), found)
    if not found.equal:
        raise typer.Exit(1)


@app.command(short_help="Train a network with the recipe in its spec.")
def train(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="A spec file, or the name of a shipped spec; alexnet if left out.",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", metavar="torch|keras|...", help="The backend; torch if left out."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="`folder:DIR` with one sub-folder a class, or `digits`, which it is if left out.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Instead of the recipe's.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="Learning rate instead of the recipe's.")
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where to train.")] = Device.auto,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Instead of the recipe's.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Use at most so many images, held-out ones too."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The run folder; one in runs/ if left out.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the run in this folder.")
    ] = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Train a network with the recipe in its spec.

    Examples: archspec train alexnet-small; archspec train --backend keras --epochs 1 --limit 256;
    archspec train my.yaml --data folder:photos
    """
    from archspec import api
    from archspec.diagnostics import ArchspecError
    from archspec.report.progress import TrainingReport
    from archspec.training.options import RunOptions

    if lr is not None and not 0 < lr < float("inf"):
        raise ArchspecError(f"--lr is a number above 0, not {lr:g}")
    report = TrainingReport(_console())
    options = RunOptions(
        backend=backend,
        data=data,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=lr,
        device=device.value,
        seed=seed,
        limit=limit,
        output=output,
        resume=resume,
        variables=api.parse_assignments(set_ or []),
        root=root,
    )
    try:
        api.train(spec, options, report)
    except KeyboardInterrupt:
        report.interrupted()
        raise
    finally:
        report.close()


@app.command(short_help="Print the JSON Schema of the language.")
def schema() -> None:
    """Print the JSON Schema of the language, for editors."""
    from archspec.schema import json_schema

    _print_json(json_schema())


def _load(spec: str, assignments: list[str] | None, input: str | None, root: Path | None) -> Graph:
    from archspec import api

    return api.load(spec, input=input, root=root, **api.parse_assignments(assignments or []))


def _console(**options: object) -> Console:
    from rich.console import Console

    return Console(**options)  # type: ignore[arg-type]


def _open(path: Path):  # type: ignore[no-untyped-def]
    from archspec.diagnostics import ArchspecError

    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise ArchspecError(f"cannot write {path}: {error.strerror}") from None


def _print_json(document: object) -> None:
    import json

    print(json.dumps(document, indent=2))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print_errors(diagnostics: tuple[Diagnostic, ...]) -> None:
    from archspec.report.diagnostics import print_diagnostics

    print_diagnostics(_console(stderr=True), diagnostics)


def _fail(message: str) -> NoReturn:
    _say(f"archspec: {message}")
    raise SystemExit(2)
