import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

from noisy_student import backends
from noisy_student.runtime.errors import ParamsError

REPOSITORY = Path(__file__).parents[2]

# what each framework says itself after make_deterministic
DETERMINISTIC = {
    "tensorflow": """
import tensorflow as tf
try:
    tf.random.uniform(())
except RuntimeError as error:
    assert "determinism" in str(error), error
else:
    raise SystemExit("an unseeded random operation was allowed")
""",
    "jax": """
import jax.numpy, os
assert "--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"]
assert jax.numpy.ones(3).sum() == 3  # XLA ends the process when it does not know a flag
""",
    "torch": """
import torch
assert torch.are_deterministic_algorithms_enabled()
assert not torch.backends.cudnn.benchmark
""",
}


@pytest.fixture
def fresh(monkeypatch):
    """As in a new process: nothing chosen, keras not imported, every framework installed."""
    for variable in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(variable, "")  # so that the test's own value is restored afterwards
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    return monkeypatch


WITH_TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed"
)


@pytest.mark.parametrize("name", [pytest.param("tensorflow", marks=WITH_TENSORFLOW), "jax", "torch"])
def test_select_sets_the_environment(fresh, name):
    deterministic = []
    jax = SimpleNamespace(make_deterministic=lambda: deterministic.append(os.environ["KERAS_BACKEND"]))
    fresh.setitem(sys.modules, "noisy_student.backends.jax", jax)
    fresh.setattr(backends, "_import_keras_as_it_comes", lambda quiet: None)  # in this process it runs already
    backends.select(name)
    backends.select(name)
    assert os.environ["KERAS_BACKEND"] == name
    # JAX reads its flags when Keras first asks for a device: set before, with the backend chosen already
    assert set(deterministic) == ({"jax"} if name == "jax" else set())
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == ("2" if name == "tensorflow" else None)


@WITH_TENSORFLOW
def test_tensorflow_starts_silently_and_everything_else_is_heard():
    """Its start-up lines are kept off file descriptor 2; a warning at the same time is not."""
    program = (
        "import os, sys\n"
        "class Loud:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow.python':\n"
        "            os.write(2, b'a real warning\\n')\n"
        "sys.meta_path.insert(0, Loud())\n"
        "from noisy_student import backends\n"
        "backends.select('tensorflow')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={key: value for key, value in os.environ.items() if not key.startswith(("KERAS", "TF_"))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "a real warning\n")


@WITH_TENSORFLOW
def test_select_keeps_the_users_log_level(fresh):
    fresh.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    backends.select("tensorflow")
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_another_backend_in_the_environment(fresh):
    fresh.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ParamsError, match=r"backend: jax, but .* KERAS_BACKEND is torch\..*-S backend=torch"):
        backends.select("jax")


@pytest.mark.parametrize(("name", "file"), [("jax", "requirements-jax.txt"), ("torch", "requirements-torch.txt")])
def test_framework_not_installed(fresh, name, file):
    fresh.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ParamsError, match=f"{name} is not installed.*pip install -r {file}"):
        backends.select(name)
    assert os.environ["KERAS_BACKEND"] == ""


def test_keras_runs_on_another_framework_already(monkeypatch):
    running = keras.config.backend()
    other = "jax" if running != "jax" else "torch"
    monkeypatch.setenv("KERAS_BACKEND", "")
    with pytest.raises(ParamsError, match=f"backend: {other}, but Keras runs on {running} already"):
        backends.select(other)


def test_current_is_the_module_of_the_running_framework():
    assert backends.current().__name__ == f"noisy_student.backends.{keras.config.backend()}"


def test_current_refuses_other_frameworks(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")
    with pytest.raises(ParamsError, match="Keras runs on openvino"):
        backends.current()


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_framework_becomes_deterministic_and_names_its_devices(name, tmp_path):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    code = f"""
from noisy_student import backends
backends.select({name!r})
backends.current().make_deterministic()
{DETERMINISTIC[name]}
devices = backends.current().describe_devices()
assert devices
assert all(device.split()[0] in ("CPU", "GPU", "TPU") for device in devices), devices
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("KERAS_BACKEND", "XLA_FLAGS")}
    environment["PYTHONPATH"] = str(REPOSITORY)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment, cwd=tmp_path)


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("model name\t: X\nflags\t\t: fpu avx512f avx512_bf16 sha\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("flags\t\t: fpu avx512f avx512_bf16_of_another_kind\n", False),
        ("flags\t\t: fpu avx2\nbugs\t\t: avx512_bf16\n", False),
    ],
)
def test_bfloat16_of_the_cpu_is_read_from_its_flags(monkeypatch, cpuinfo, expected):
    monkeypatch.setattr(Path, "read_text", lambda self, **options: cpuinfo)
    assert backends.cpu_has_bfloat16() is expected


def test_no_bfloat16_where_the_system_does_not_say(monkeypatch):
    def missing(self, **options):
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    assert backends.cpu_has_bfloat16() is False


@pytest.mark.parametrize(("fast", "expected"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_automatic_precision_follows_the_hardware(monkeypatch, fast, expected):
    monkeypatch.setattr(backends.current(), "is_bfloat16_fast", lambda: fast)
    assert backends.resolve_precision("auto") == expected
    for given in ("float32", "mixed_bfloat16"):
        assert backends.resolve_precision(given) == given
