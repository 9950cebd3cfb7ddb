"""The likeliest classes of pictures, for people and for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from archspec.analysis.numbers import printable
from archspec.analysis.section import Column
from archspec.prediction import Classifier, Guess, Prediction
from archspec.report.export import csv_cell
from archspec.report.grid import print_grid

SCHEMA_VERSION = 1
CSV_COLUMNS = ("image", "rank", "class", "label", "probability", "logit")


def print_predictions(console: Console, predictions: Iterable[Prediction]) -> None:
    """Each image with a line for each of its likeliest classes, as soon as it is known."""
    for number, prediction in enumerate(predictions):
        if number:
            console.print()
        console.print(Text(printable(str(prediction.image)), style="bold"), soft_wrap=True)
        rows = [((f"{guess.probability:9.2%}", ""), (name(guess), "")) for guess in prediction.top]
        print_grid(console, (Column("", "right"), Column("", folds=True)), rows)


def name(guess: Guess) -> str:
    """The label of a class, or its number."""
    return f"class {guess.index}" if guess.label is None else printable(guess.label)


def to_json(classifier: Classifier, predictions: Iterable[Prediction]) -> str:
    """One JSON document (`docs/predict.md`)."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": classifier.graph.name,
        "weights": {"file": classifier.weights.path, "format": classifier.weights.format},
        "backend": classifier.backend,
        "engine": classifier.predictor.engine,
        "device": classifier.predictor.device,
        "preprocessing": classifier.preprocessing.model_dump(mode="json"),
        "images": [prediction.to_json() for prediction in predictions],
    }
    return json.dumps(document, indent=2)


def print_csv(predictions: Iterable[Prediction]) -> None:
    """A row for each image and class, the likeliest first, with a header."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for prediction in predictions:
        for rank, guess in enumerate(prediction.top, start=1):
            label = "" if guess.label is None else csv_cell(guess.label)
            image = csv_cell(str(prediction.image))
            writer.writerow([image, rank, guess.index, label, guess.probability, guess.logit])
