"""One network trained in both backends: the same curve, to the rounding of float64."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import figures, train


@pytest.mark.slow
@pytest.mark.xdist_group("keras")
def test_both_backends_have_the_same_curve(tmp_path: Path) -> None:
    rows = []
    for backend in ("torch", "keras"):
        folder = tmp_path / backend
        folder.mkdir()
        train(folder, backend=backend, precision="float64", compile=False)
        rows.append(figures(folder / "run"))
    assert len(rows[0]) == 4
    for one, other in zip(*rows, strict=True):
        assert one == pytest.approx(other, rel=1e-10)
    assert rows[0][3]["train_loss"] < rows[0][0]["train_loss"]
