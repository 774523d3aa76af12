"""Whether what the pipeline needs is installed; nothing is imported for it."""

import importlib.util
import os

from noisy_student.runtime.errors import ParamsError

REQUIREMENTS = {"tensorflow": "requirements.txt", "jax": "requirements-jax.txt", "torch": "requirements-torch.txt"}
PACKAGES = ("keras", "h5py", "PIL", "cv2", "numba", "scipy", "sklearn", "tqdm", "vl_convert")  # by their import names


def check_backend(name: str) -> None:
    """Raise ParamsError unless Keras can run on a framework here; nothing is imported.

    So it cannot if it is not installed, or if KERAS_BACKEND says otherwise.
    """
    chosen = os.environ.get("KERAS_BACKEND") or name
    if chosen != name:
        raise ParamsError(
            f"params.yaml says backend: {name}, but the environment variable KERAS_BACKEND is {chosen}. "
            f"Unset it, or run with -S backend={chosen}."
        )
    if importlib.util.find_spec(name) is None:
        raise ParamsError(
            f"params.yaml says backend: {name}, but the Python package {name} is not installed. "
            f"Run `pip install -r {REQUIREMENTS[name]}`, or choose another backend in params.yaml."
        )


def check_packages(backend: str) -> None:
    """Raise ParamsError if a package is missing that a stage of the pipeline will import."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ParamsError(
            f"The Python package {', '.join(missing)} is not installed here. "
            f"Run `pip install -r {REQUIREMENTS[backend]}`, or `make setup`."
        )
