"""What besides inputs, parameters and code decides the bytes of a result."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    *("keras", "tensorflow", "jax", "jaxlib", "torch", "numpy", "numba", "pillow", "scipy", "h5py"),
    *("opencv-python-headless", "scikit-learn", "vl-convert-python"),
)
# environment variables that change how numbers are rounded
VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_CPU_ENABLE_ALL_OPTS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "XLA_FLAGS",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
)


def versions():
    """{package: version} of the installed packages that compute."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@functools.cache
def cpu():
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


def threads():
    """How many processors this process may use; kernels share their work out among so many threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def fingerprint():
    """All facts of this module that can change the bytes of a result.

    Returns:
        dict of what JSON can hold.
    """
    return {
        "versions": versions(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cpu": cpu(),
        "threads": threads(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def commit():
    """The git commit of the working tree, with "+changes" if files differ from it; None without git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", "*.py", "*.yaml"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
