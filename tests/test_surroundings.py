"""A notebook, an IDE, CI, conda, a git hook or another file system changes no result, and ends none in a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import REVERSED, ROOT

HOSTILE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as `!make repro` in a notebook has it
    "JPY_PARENT_PID": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONSTARTUP": "/no/such/file.py",
    "PYTHONHASHSEED": "123",
    "PYTHONIOENCODING": "ascii",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TQDM_MININTERVAL": "often",
    "TQDM_DISABLE": "maybe",
    "FORCE_COLOR": "1",
    "NO_COLOR": "1",
    "COLUMNS": "wide",
    "LINES": "0",
    "TERM": "dumb",
    "LC_ALL": "C",
    "TZ": "Asia/Tokyo",
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_USE_LEGACY_KERAS": "1",
    "KERAS_MAX_EPOCHS": "none",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERAS_NNX_ENABLED": "true",
    "CUDA_VISIBLE_DEVICES": "",
    "GIT_DIR": "/no/such/repository",  # set in a git hook
    "DVC_STUDIO_TOKEN": "x",
    "CONDA_PREFIX": "/no/such/prefix",
    "TMPDIR": "/no/such/folder",
}
KERAS_JSON = {"floatx": "float64", "epsilon": 0.1, "backend": "jax", "image_data_format": "channels_first"}
ARRAYS = ("data/prepared/unlabelled/images.npy", "data/prepared/balanced/gen1.npy")
CODE = """
import os, sys
from pathlib import Path
assert list(os.scandir(".")) and os.scandir.__name__ == "_Reversed"
from small import make_finished
from support import digits_100
make_finished(Path(sys.argv[1]), digits_100())
"""


@pytest.mark.parametrize("where", [pytest.param("HOME", marks=pytest.mark.slow), "KERAS_HOME"])
def test_the_users_configuration_of_keras_is_not_read(where, tmp_path):
    """That in HOME is there in all surroundings below."""
    folder = tmp_path / ".keras" if where == "HOME" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "keras.json").write_text(json.dumps(KERAS_JSON | {"floatx": "float8" if where == "HOME" else "float64"}))
    code = (
        "from noisy_student import backends; backends.select('tensorflow'); import keras; c = keras.config; "
        "print(c.floatx(), c.dtype_policy().name, c.epsilon(), c.image_data_format(), c.max_steps_per_epoch())"
    )
    environment = {where: str(tmp_path), "PATH": "", "KERAS_MAX_STEPS_PER_EPOCH": "1", "KERAS_MAX_EPOCHS": "x"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "float32 float32 1e-07 channels_last None\n", done.stderr
    assert len(list(folder.iterdir())) == 1


def test_all_stages_in_hostile_surroundings_give_the_same_bytes(finished, tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(json.dumps(KERAS_JSON))
    (tmp_path / "project").mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("KERAS_BACKEND", "KERAS_HOME")}
    (tmp_path / "reversed").mkdir()
    (tmp_path / "reversed/sitecustomize.py").write_text(REVERSED)
    paths = os.pathsep.join([str(tmp_path / "reversed"), str(ROOT), str(ROOT / "tests")])
    environment = kept | HOSTILE | {"HOME": str(tmp_path), "PYTHONPATH": paths}
    command = [sys.executable, "-c", CODE, str(tmp_path / "project")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for name in (*ARRAYS, "models/teacher.keras", "models/student-gen1.keras", "metrics/eval.json"):
        assert (tmp_path / "project" / name).read_bytes() == (Path(finished) / name).read_bytes(), name
    recorded = json.loads((tmp_path / "project/metrics/run.json").read_text())["teacher"]
    assert recorded["variables"]["CUDA_VISIBLE_DEVICES"] == ""
