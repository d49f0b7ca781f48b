"""The Triton kernels are right without a GPU too, in Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("interpreted_triton.py")


@pytest.mark.slow
def test_triton_agrees_with_naive():
    pytest.importorskip("triton")
    root = str(SCRIPT.parents[3])  # the interpreter is chosen when triton is imported, hence a process of its own
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": root}
    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=280)
    assert done.stdout.strip() == "agree", done.stderr[-3000:]
