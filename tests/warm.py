"""A process that runs scripts one after the other and imports the frameworks once.

PyTorch and TensorFlow take some six seconds to import, and a script of a few lines a fraction of
one. Each script runs as `python SCRIPT` would: as `__main__`, in its own folder, with a fresh
namespace. What it prints comes back, with the traceback that ends it if one does. What it leaves
in imported modules stays for the next one; tests that run the same scripts in processes of their
own (`make test-all`) show that none depends on that.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import runpy
import sys
import traceback
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def warm_process(environment: Mapping[str, str]) -> ProcessPoolExecutor:
    """One process with these environment variables; `submit(run_script, path)` uses it."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, spawn, _set, (dict(environment),))


def _set(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)


def run_script(script: Path) -> str:
    """What `python SCRIPT` prints in the script's own folder."""
    printed = io.StringIO()
    before = Path.cwd(), list(sys.path), list(sys.argv)
    try:
        os.chdir(script.parent)
        sys.path.insert(0, str(script.parent))
        sys.argv[:] = [script.name]
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                runpy.run_path(script.name, run_name="__main__")
            except BaseException:
                traceback.print_exc()
    finally:
        os.chdir(before[0])
        sys.path[:], sys.argv[:] = before[1], before[2]
    return printed.getvalue()
