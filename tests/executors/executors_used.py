"""The executors that tests use; Ray where it is installed."""

import importlib.util
from pathlib import Path

import pytest

from noisy_student.executors.settings import ExecutorSettings

HERE = Path(__file__).parent
ON_RAY = [
    pytest.mark.slow,  # a cluster takes seconds to start
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (requirements-ray.txt)"),
]
RAY = pytest.param(ExecutorSettings(name="ray", workers=2), marks=ON_RAY, id="ray")
ONE, TWO = ExecutorSettings(), ExecutorSettings(workers=2)
WORKERS = [pytest.param(TWO, id="two workers"), RAY]
ALL = [pytest.param(ONE, id="in process"), *WORKERS]
