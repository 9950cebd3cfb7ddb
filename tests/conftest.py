"""For all tests. With this file, pytest puts this folder on the path: tests import `networks`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job ignores it, and so would these tests and what they start.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Keras on TensorFlow under NumPy 2, once for every array it converts.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't:DeprecationWarning"
    )


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have left what processes.py does, in one launch."""
    pytest.importorskip("torch")
    from processes import torchrun

    folder = tmp_path_factory.mktemp("launched")
    done = torchrun(str(Path(__file__).parent / "processes.py"), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def archspec_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `archspec ARGUMENTS` in this process: exit status, output, errors; never a traceback."""
    from archspec import cli

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archspec", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return call
