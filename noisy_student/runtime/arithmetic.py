"""`arithmetic: portable`: what holds the libraries to one way of rounding on every x86-64 CPU with AVX2.

Libraries choose kernels by the CPU when they are loaded, so their switches, all of them environment variables, must
stand before: a stage starts itself anew with them. What has no switch is in `backends/`. docs/reproducibility.md says
which library chooses what, and how it was seen.
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from noisy_student.runtime.environment import cpu
from noisy_student.runtime.errors import ParamsError

_OWN_PROCESS = (
    "arithmetic: portable has to be set up before NumPy and TensorFlow are loaded: run a stage as a process of "
    "its own (python -m stages.teacher), or start Python with noisy_student.runtime.arithmetic.SWITCHES set."
)
X86 = ("x86_64", "AMD64")
THREADS = 2  # kernels share sums out among so many, on every machine

SWITCHES = {
    "TF_ENABLE_ONEDNN_OPTS": "1",  # TensorFlow's own default depends on the CPU
    "TF_NUM_INTRAOP_THREADS": str(THREADS),
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "1",  # oneDNN's product of matrices within Eigen
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",  # AVX2 and FMA, nothing above
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
    "OPENCV_IPP": "avx2",
}
# each would undo a switch or choose other kernels
UNSET = (
    *("DNNL_MAX_CPU_ISA", "DNNL_DEFAULT_FPMATH_MODE", "NPY_DISABLE_CPU_FEATURES", "TF_DISABLE_MKL", "TF_XLA_FLAGS"),
    *("XLA_FLAGS", "TF_CPU_ENABLE_ALL_OPTS", "TF_ENABLE_AUTO_MIXED_PRECISION", "NUMBA_DISABLE_JIT", "NUMBA_OPT"),
    "TF_ENABLE_AUTO_MIXED_PRECISION_GRAPH_REWRITE",
)


def switches() -> dict[str, str]:
    """`SWITCHES`, but for OpenCV's where there is no AVX512: there it would print at every start that it is useless."""
    needless = () if "avx512" in cpu().get("instructions", "") else ("OPENCV_CPU_DISABLE",)
    return {name: value for name, value in SWITCHES.items() if name not in needless}


def is_pinned() -> bool:
    """Whether this process has the switches."""
    return all(os.environ.get(name) == value for name, value in switches().items())


def wanted(path: str = "params.yaml") -> bool:
    """Whether params.yaml asks for it; False for a file that cannot be read, which the stage itself names."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return "portable" in text and YAML(typ="safe").load(text).get("arithmetic") == "portable"
    except (OSError, ValueError, AttributeError, YAMLError):
        return False


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """An environment with the switches.

    Raises:
        ParamsError: a variable says otherwise, or this CPU lacks the instructions.
    """
    _check_cpu()
    contrary = [f"{name}={given[name]}" for name, value in SWITCHES.items() if given.get(name, value) != value]
    contrary += [f"{name}={given[name]}" for name in UNSET if name in given]
    if contrary:
        raise ParamsError(
            f"params.yaml says arithmetic: portable, but the environment has {', '.join(contrary)}, which chooses "
            "other kernels. Unset that, or set arithmetic: fast."
        )
    return {**given, **switches()}


def start_anew() -> None:
    """Put this script, run as `python -m`, in its own place again with the switches, unless it has them.

    Raises:
        ParamsError: as `environment`.
    """
    switched = environment(os.environ)  # also where they stand already: what undoes them must not
    if not is_pinned():
        sys.stdout.flush()
        sys.stderr.flush()
        script = sys.modules["__main__"].__spec__  # not sys.orig_argv: stages may be forked from another script
        if script is None:
            raise ParamsError(_OWN_PROCESS)
        os.execve(sys.executable, [sys.executable, "-m", script.name, *sys.argv[1:]], switched)


def require_pinned() -> None:
    """Raise ParamsError where the switches were not set before the libraries were loaded."""
    environment(os.environ)
    if not is_pinned():
        raise ParamsError(_OWN_PROCESS)


def prefers_onednn() -> bool:
    """Whether TensorFlow is to take oneDNN's kernels, in place of its own.

    By itself it does so with AVX512-VNNI, AVX-VNNI or AMX only; with AVX2 they are up to twice as fast, too
    (`python -m benchmarks.kernels`). Other architectures have other libraries.
    """
    on_x86 = sys.platform == "linux" and platform.machine() in X86
    return on_x86 and "avx2" in cpu().get("instructions", "").split()


def _check_cpu():
    machine = platform.machine()
    has = cpu().get("instructions", "").split()
    missing = [name for name in ("avx2", "fma") if name not in has]
    if sys.platform != "linux" or machine not in X86 or missing:
        found = f"{sys.platform} {machine}" + (f" without {' and '.join(missing)}" if missing else "")
        raise ParamsError(
            f"params.yaml says arithmetic: portable, which is for Linux on x86-64 CPUs with AVX2 and FMA; this is "
            f"{found}. Set arithmetic: fast."
        )
