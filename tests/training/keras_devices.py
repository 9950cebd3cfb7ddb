"""What test_many_devices.py runs with Keras: on two devices of JAX, or in a TensorFlow process."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from archspec.training import RunOptions, run


def main(folder: Path) -> None:
    options = {"backend": "keras", "limit": 75, "device": "cpu"}
    spec = folder / "net.yaml"
    if os.environ["KERAS_BACKEND"] == "jax":
        run(spec, RunOptions(**options, output=folder / "two", devices=2))
        run(spec, RunOptions(**options, output=folder / "one"))
        (folder / "parts.json").write_text(json.dumps(parts()))
        return
    run(spec, RunOptions(**options, output=folder / "two"))
    rank = json.loads(os.environ.pop("TF_CONFIG"))["task"]["index"]
    if rank == 0:
        run(spec, RunOptions(**options, output=folder / "one"))


def parts() -> list[int]:
    """How many of eight images each device gets."""
    import numpy as np

    from archspec.backends.base import Execution
    from archspec.backends.keras import parallel

    with parallel.several(Execution("cpu", devices=2)):
        (images,) = parallel.divided([np.zeros((8, 4, 4, 1), "float32")])
    return [len(part.data) for part in images.addressable_shards]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
