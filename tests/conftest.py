"""Shared by all tests: parameters to change, and the first backend that is installed."""

import importlib.util
import os
import shutil
import signal

import pytest

from noisy_student.runtime import arithmetic
from support import ROOT, digits_100, made_once, with_values

for place in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # git sets them for its hooks: tests have own repositories
    os.environ.pop(place, None)
os.environ["DVC_NO_ANALYTICS"] = "1"
INSTALLED = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
os.environ.setdefault("KERAS_BACKEND", INSTALLED[0])
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if arithmetic.prefers_onednn():  # tests import Keras before stages choose TensorFlow's kernels
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background: what tests start would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What takes longest is begun first, so that no worker is left alone with it at the end. The first two files
# are not both of `pipeline`: there one worker makes the clone, and the other would wait for it.
FIRST = (
    *("pipeline/test_dvc.py", "study", "pipeline", "training", "test_data_deps.py", "robustness", "report", "models"),
    *("test_no_validation.py", "test_surroundings.py", "deployment", "api"),
)


def pytest_collection_modifyitems(items):
    """Order the files, for several workers; within a file nothing changes."""
    items.sort(key=lambda item: _place(item.path.relative_to(ROOT / "tests").as_posix()))


def _place(path):
    return next((place for place, begin in enumerate(FIRST) if path.startswith(begin)), len(FIRST))


@pytest.fixture(scope="session")
def digits():
    """See `digits_100`; copy before changing it."""
    return digits_100()


@pytest.fixture
def changed(digits):
    """A function: these parameters, validated, with some dotted keys changed."""
    from noisy_student.settings import params

    def change(**values):
        return params.check(with_values(digits, {key.replace("__", "."): v for key, v in values.items()}))

    return change


@pytest.fixture(scope="session")
def finished(tmp_path_factory, digits):
    """A small workspace in which all stages have run; not to be changed."""
    from small import make_finished

    return made_once(tmp_path_factory, "finished", lambda folder: make_finished(folder, digits))


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch):
    """A copy of it, the current directory; without the locks, which say the number of the process that made it."""
    shutil.copytree(finished, tmp_path / "project", ignore=shutil.ignore_patterns("locks"))
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return tmp_path / "project"


@pytest.fixture(scope="module")
def one_block():
    """ResNets of one block, with a shortcut, in place of three: most of a short training goes into making its graph."""
    from noisy_student.models.network import staged
    from noisy_student.models.networks.resnet import ResNet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResNet, "blocks", lambda network: staged([(2 * network.width, 1, 2)]))
        yield
