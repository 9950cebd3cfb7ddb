"""For all tests. With this file, pytest puts this folder on the path: tests import `networks`."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Keras on TensorFlow under NumPy 2, once for every array it converts.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't:DeprecationWarning"
    )
