"""Which code, machine and versions made a result: what besides inputs and parameters decides its bytes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import noisy_student

CODE = ("dvc.yaml", "noisy_student/**/*.py", "stages/*.py")  # what decides what a stage computes
PACKAGES = (
    *("keras", "tensorflow", "jax", "jaxlib", "torch", "numpy", "numba", "pillow", "scipy", "h5py", "safetensors"),
    *("opencv-python-headless", "scikit-learn", "vl-convert-python"),
)
# environment variables that change how numbers are rounded; those of Keras do not count, see `backends.select`
VARIABLES = (
    *("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_CPU_ENABLE_ALL_OPTS"),
    *("TF_XLA_FLAGS", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "TF_CUDNN_USE_AUTOTUNE", "TF_DISABLE_MKL"),
    *("TF_ENABLE_AUTO_MIXED_PRECISION", "TF_ENABLE_AUTO_MIXED_PRECISION_GRAPH_REWRITE"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "MKL_CBWR"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
    *("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_DISABLE_JIT", "NUMBA_OPT", "NPY_DISABLE_CPU_FEATURES"),
    *("NPY_ENABLE_CPU_FEATURES", "OPENCV_IPP", "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL"),
    *("JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_PLATFORMS", "JAX_DISABLE_JIT", "JAX_DEFAULT_PRNG_IMPL"),
    *("KERAS_TORCH_DEVICE", "ATEN_CPU_CAPABILITY", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "OPENCV_CPU_DISABLE"),
    *("XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE"),
)


def versions() -> dict[str, str]:
    """{package: version} of the installed packages that compute."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def differing(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """Which `versions` another process has otherwise, in words; empty if none."""
    return ", ".join(
        f"{name} {theirs.get(name, 'missing')} (here {ours.get(name, 'missing')})"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    )


@functools.cache
def cpu() -> dict[str, str]:
    """The processor: its name and the instruction sets that kernels are chosen by."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {"name": platform.processor() or platform.machine()}
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    kinds = ("avx", "amx", "fma", "sse4", "sve", "neon", "asimd", "bf16")
    return {
        "name": facts.get("model name", platform.machine()),
        "instructions": " ".join(sorted(f for f in flags if f.startswith(kinds))),
    }


def python_path() -> str:
    """PYTHONPATH of a worker: this project, wherever it was started from, then what this process has."""
    above = str(Path(noisy_student.__file__).parents[1])
    return os.pathsep.join(filter(None, [above, os.environ.get("PYTHONPATH")]))


def threads() -> int:
    """How many processors this process may use; kernels share their work out among so many threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fingerprint() -> dict[str, Any]:
    """All facts of this machine and its libraries that can change the bytes of a result; JSON can hold them."""
    return {
        "versions": versions(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cpu": cpu(),
        "threads": threads(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def commit() -> str | None:
    """The git commit of the working tree, with "+changes" if `CODE` differs from it; None without git."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--", *(f":(glob){path}" for path in CODE)) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def code_digest() -> str:
    """Eight hex digits of `CODE`."""
    total = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in Path().glob(pattern)):
        total.update(f"{path.as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()[:8]


def _git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Provenance:
    """By which code, on which machine, with which versions a result was made: part of its entry in metrics/run.json."""

    commit: str | None
    versions: dict
    platform: str
    cpu: dict
    threads: int
    variables: dict

    @classmethod
    def here(cls) -> Provenance:
        """That of this process."""
        return cls(commit(), **fingerprint())

    @classmethod
    def recorded(cls, entry: dict) -> Provenance:
        """That of an entry of metrics/run.json."""
        return cls(*(entry.get(part.name) for part in fields(cls)))  # type: ignore[arg-type]  # None: an old entry

    @property
    def machine(self) -> str:
        """In words."""
        return f"{self.cpu['name']}, {self.threads} thread{'s' * (self.threads != 1)}"
