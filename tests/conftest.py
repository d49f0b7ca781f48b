"""One thread a process: small tensors gain nothing from more, and waiting threads cost the others dear.

`tools/test.sh --full` runs every trial of the long tests; otherwise a seeded tenth of them runs.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test waits for the network
FULL = os.environ.get("ZOO_TEST_FULL") == "1"
TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture(scope="session")
def trials() -> Callable[[int], int]:
    """trials(200): how many of 200 trials to run."""
    return lambda whole: whole if FULL else max(1, whole // 10)


@pytest.fixture(scope="session")
def seconds() -> Callable[[Callable[[], object]], float]:
    """seconds(call): its processor time without collecting garbage, the best of ten: neighbours slow single calls."""
    return lambda call: min(timeit.repeat(call, number=1, repeat=10, timer=time.process_time))


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """script("bench_page"): tools/bench_page.py as a module, without running it."""

    def load(name: str) -> ModuleType:
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return load


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of cases marked `many`, keep a tenth, the same one every time; `long` ones run only with all."""
    import random

    for item in items:
        if FULL:
            continue
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="tools/test.sh --full"))
        elif item.get_closest_marker("many") and random.Random(item.nodeid.partition("[")[2]).random() > 0.1:
            item.add_marker(pytest.mark.skip(reason="one of the nine tenths of tools/test.sh --full"))
