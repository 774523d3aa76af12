#!/usr/bin/env bash
# What a GPU makes of this, on a machine without network: bash gpu.sh --cifar10 DIR [--minutes 8] [--out DIR]
# It needs Python, JAX with CUDA, NumPy and SciPy; what else is needed comes with the bundle that
# `python -m benchmarks.gpu_bundle` writes. DIR holds cifar-10-binary.tar.gz. Run again, it goes on where it stopped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
if [ -d "$here/wheels" ]; then # in the bundle; a wheel is a zip file, so no pip is needed
  code=$here/code site=$here/site
  if [ ! -e "$site/.complete" ]; then
    rm -rf "$site" && mkdir "$site"
    for wheel in "$here"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$site"; done
    touch "$site/.complete"
  fi
  own=$site:$code
else # in a checkout, in an environment of requirements-jax.txt
  own=${here%/benchmarks}
fi
export PYTHONPATH="$own${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1 # not what lies in the folder where it is called
export KERAS_BACKEND=jax TF_CPP_MIN_LOG_LEVEL=2
exec "$python" -m benchmarks.gpu "$@"
