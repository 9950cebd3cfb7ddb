"""A whole AlexNet, 61 million parameters, in each format by the tool that it belongs to."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from models import images, keras
from test_caffe_files import caffemodel

import archspec
from archspec import weights
from archspec.backends.initial import initial_weights
from archspec.backends.torch import BACKEND as TORCH
from archspec.graph import Graph

pytestmark = pytest.mark.slow


def in_torch(graph: Graph, found: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    model = TORCH.build_for_verification(graph, "float32")
    TORCH.load_weights(graph, model, found)
    outputs: np.ndarray = TORCH.activations(graph, model, x)[graph.output]
    return outputs


def by_hand() -> object:
    """Torchvision's AlexNet as a user of Keras writes it, with Keras' flatten."""
    k = keras()
    net = k.Sequential([k.Input((224, 224, 3)), k.layers.ZeroPadding2D(2)])
    net.add(k.layers.Conv2D(64, 11, 4, activation="relu"))
    net.add(k.layers.MaxPooling2D(3, 2))
    net.add(k.layers.Conv2D(192, 5, padding="same", activation="relu"))
    net.add(k.layers.MaxPooling2D(3, 2))
    for filters in (384, 256, 256):
        net.add(k.layers.Conv2D(filters, 3, padding="same", activation="relu"))
    net.add(k.layers.MaxPooling2D(3, 2))
    net.add(k.layers.Flatten())
    for units in (4096, 4096):
        net.add(k.layers.Dropout(0.5))
        net.add(k.layers.Dense(units, activation="relu"))
    net.add(k.layers.Dense(1000))
    return net


def test_a_whole_alexnet_of_keras(tmp_path: Path) -> None:
    graph = archspec.load("alexnet-torchvision")
    model = by_hand()
    path = tmp_path / "alexnet.keras"
    model.save(path)
    loaded = weights.load(path, graph)
    assert not loaded.missing
    assert not loaded.extra
    x = images(graph, 2).astype("float32")
    expected = np.asarray(model.predict_on_batch(x.transpose(0, 2, 3, 1)))
    found = in_torch(graph, loaded.weights, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_whole_alexnet_of_caffe(tmp_path: Path) -> None:
    graph = archspec.load("caffenet")
    values = {name: v.astype("f4") for name, v in initial_weights(graph, 0).items()}
    path = tmp_path / "bvlc_reference_caffenet.caffemodel"
    path.write_bytes(caffemodel(graph, values))
    tracemalloc.start()
    loaded = weights.load(path, graph)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {match.how for match in loaded.matches} == {"name"}
    assert all((loaded.weights[name] == value).all() for name, value in values.items())
    assert peak < 5 * path.stat().st_size
