"""Choosing the framework that Keras runs on; code that needs one framework lives in this package."""

import contextlib
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from noisy_student.runtime import arithmetic as portable
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.installed import REQUIREMENTS, check_backend
from noisy_student.runtime.types import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]  # of images (N, H, W, 3) float32 and labels (N,), both tensors

# informational lines, and the error that every machine without a GPU gives
_STARTUP = re.compile(rb"I0000 |WARNING: All log messages before absl|E0000 .*failed call to cuInit")

# what Keras reads at its import, besides keras.json; limits of steps end trainings early, without a word
KERAS_VARIABLES = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")

_chose_onednn = False  # whether TensorFlow was loaded with oneDNN's kernels because this module said so


def select(name: str, arithmetic: str = "fast") -> None:
    """Make Keras use a framework; call it before anything imports `keras`.

    Sets the environment variables KERAS_BACKEND and, unless they are set, TF_CPP_MIN_LOG_LEVEL (2 hides
    TensorFlow's information and warnings, but for a few lines from before its log is set up) and, where that is faster
    and TensorFlow not loaded yet, TF_ENABLE_ONEDNN_OPTS (1). What else the user has configured of Keras would change
    results, and does not count: neither keras.json nor `KERAS_VARIABLES`.

    Args:
        name: `backend` of params.yaml.
        arithmetic: that of params.yaml; "portable" needs a process that was started with its switches.

    Raises:
        ParamsError: KERAS_BACKEND says otherwise, Keras runs on another framework already, or it is not installed;
            or portable arithmetic cannot be had.
    """
    keras = sys.modules.get("keras")
    if keras is not None and keras.config.backend() != name:
        raise ParamsError(
            f"params.yaml says backend: {name}, but Keras runs on {keras.config.backend()} already. "
            "Select the backend in a fresh Python process, before keras is imported."
        )
    check_backend(name)
    if arithmetic == "portable":
        portable.require_pinned()
    os.environ["KERAS_BACKEND"] = name
    if name == "tensorflow":
        _set_up_tensorflow()
    _import_keras_as_it_comes(quiet=name == "tensorflow")
    if name == "jax":
        # before anything asks for devices: then it is too late
        importlib.import_module("noisy_student.backends.jax").make_deterministic()
    if name == "tensorflow":
        with _without_startup_log():
            import tensorflow

            tensorflow.config.list_physical_devices("GPU")  # the first look for a GPU logs too
            if arithmetic == "portable":
                importlib.import_module("noisy_student.backends.tensorflow").make_portable()


def import_early(name: str) -> None:
    """Import what `select` will, in a process that is forked later: without a look at devices, which starts drivers."""
    check_backend(name)
    os.environ["KERAS_BACKEND"] = name
    _set_up_tensorflow()
    _import_keras_as_it_comes(quiet=name == "tensorflow")


def _set_up_tensorflow():
    """The variables that it reads while it is loaded; in a process forked afterwards, too, so that records agree."""
    global _chose_onednn
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:
        _chose_onednn = portable.prefers_onednn() and "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    if _chose_onednn:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"


def _import_keras_as_it_comes(*, quiet):
    """Import Keras at its own defaults, or bring it back to them: types, layout, and no limit of steps."""
    config = {**dict.fromkeys(KERAS_VARIABLES), "KERAS_HOME": os.devnull}  # a folder without a keras.json
    before = {key: os.environ.pop(key, None) for key in config}
    os.environ["KERAS_HOME"] = os.devnull
    try:
        with _without_startup_log() if quiet else contextlib.nullcontext():
            import keras
    finally:
        del os.environ["KERAS_HOME"]
        os.environ.update({key: value for key, value in before.items() if value is not None})
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


@contextlib.contextmanager
def _without_startup_log():
    """Keep TensorFlow 2.21's informational lines off the terminal; everything else is passed on.

    Its libraries write them to file descriptor 2 before any setting is read.
    """
    sys.stderr.flush()
    try:
        log = tempfile.TemporaryFile()  # noqa: SIM115, closed below
    except OSError:  # there is no room for it: better informational lines than no training
        yield
        return
    terminal = os.dup(2)
    with log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            log.seek(0)
            os.write(2, b"".join(line for line in log if not _STARTUP.match(line)))


def current() -> ModuleType:
    """The module of this package for the framework that Keras runs on.

    Each module has:

    - `make_deterministic()` lets every operation give the same bits in every run on the same machine.
    - `compiles_with_xla()`: whether training steps are compiled by XLA.
    - `is_bfloat16_fast()`: whether training in bfloat16 is faster than in float32.
    - `describe_devices()`: names of the accelerators in use, e.g. ["GPU NVIDIA H200"]; ["CPU"] where there is none, or
      one for each virtual CPU.
    - `use_devices(number)`: make so many virtual devices of the CPU, before any computation; None: one.
    - `device_count()`: devices that can share a batch, of all processes.
    - `data_parallel(devices)`: a context in which models are made and trained so that these share every batch.
    - `join(rank)`, JAX only: find the other processes of a training; `of_first_process(values)`: uint8 (N,) of rank 0.
    - `replicas()`: how many devices trace a part of the batch each; 1 also where one trace is for the whole batch.
    - `own_rows(draw, rows)`: rows of `draw(n)`, (n, ...): those of this device, of what is drawn for the whole batch.
    - `cond(condition, yes, no)`: `keras.ops.cond`, also where devices share the batch.
    - `feed(batches)`: what `keras.Model.fit` iterates over, once a round, of a training.batches.TrainingBatches.
    - `forward(model)`: the model without noise of training, as a function of batches of one constant shape: uint8
      NumPy array (N, H, W, 3) -> tensor (N, K), on a GPU perhaps before it is computed.
    - `input_gradient(loss)`: the gradient of a loss, a scalar, in its images; for batches of one constant shape.
    - `batch_normalise(x, scale, offset, epsilon)` of x (N, H, W, C), float32 or bfloat16, by the batch's statistics;
      scale, offset (C,) float32. Gives (y, mean, variance), the latter (C,) float32, divided by the batch's size.
    - `normalise(x, scale, offset, mean, variance, epsilon)` by stored statistics.
    - `with_zero_gradients(x, weights)`: x, with a gradient of zero in weights that it does not depend on.
    - `OPTIMIZERS`: Keras', fused; `STEPS_AT_A_TIME`: most that are run without coming back to Python, but for
      `steps_at_a_time()`, which knows of `data_parallel`.

    Raises:
        ParamsError: Keras runs on a framework that this project has no module for.
    """
    import keras

    name = keras.config.backend()
    if name not in REQUIREMENTS:
        raise ParamsError(
            f"Keras runs on {name}, which cannot train here. "
            "Set KERAS_BACKEND to tensorflow, jax or torch, as backend in params.yaml."
        )
    return importlib.import_module(f"noisy_student.backends.{name}")


def resolve_precision(precision: str) -> str:
    """`precision` of `params.yaml`; "auto" is by the hardware "float32" or "mixed_bfloat16"."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if current().is_bfloat16_fast() else "float32"


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX512-BF16, AMX); False where Linux does not say.

    Nor with portable arithmetic, which is held to AVX2.
    """
    if portable.is_pinned():
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^flags\b.*\b(avx512_bf16|amx_bf16)\b", flags, re.MULTILINE) is not None
