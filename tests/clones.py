"""A real clone of this repository with a tiny configuration, and real DVC in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from commands import preset as presets
from support import ROOT, digits_100, set_params, with_values

TINY = {
    "data.labelled": 60,
    "data.validation": 60,
    "data.unlabelled": 120,
    "data.test": 60,
    "teacher.model.width": 4,
    "student.model.width": 4,
    "teacher.steps": 60,
    "teacher.validate_every": 20,
    "student.steps": 10,
    "student.validate_every": 5,
    "student.batch_size": 16,
    "pseudolabel.threshold": 0.1,
    "balance.on_empty": "skip",
    "eval.robustness": "off",
}

FORKED = "import sys; from experiments import forking; sys.exit(forking.dvc(sys.argv[1:]))"


class Clone:
    """A checkout in which commands are run as a user would."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GIT_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "DVC_SITE_CACHE_DIR": str(folder.parent / "site-cache"),
            "DVC_NO_ANALYTICS": "1",
            "COLUMNS": "300",
        }
        for key in ("KERAS_BACKEND", "PYTHONPATH"):
            self.env.pop(key, None)
        # DVC commits experiments, and finds the name for it in $HOME
        (folder.parent / ".gitconfig").write_text(
            "[user]\nname = Test\nemail = test@example.org\n[init]\ndefaultBranch = main\n"
        )

    def run(self, *command, fails=False, timeout=600, **env):
        """Run a command; return its standard output and error, together."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{command} -> {done.returncode}\n{done.stdout}"
        return done.stdout

    def forked(self, *arguments, **options):
        """Run `dvc` with these arguments; its stages are forked, which is faster and changes nothing of the order."""
        return self.run("python", "-c", FORKED, *arguments, **options)

    def stage(self, name, *arguments, fails=False):
        """Run a stage by hand, without DVC."""
        return self.run(sys.executable, "-m", f"stages.{name}", *arguments, fails=fails)

    def read(self, path):
        """The bytes of a file of the clone."""
        return (self.folder / path).read_bytes()

    def set(self, **values):
        """Change params.yaml; keys are dotted, with __ for the dots."""
        set_params({key.replace("__", "."): value for key, value in values.items()}, self.folder)

    def commit(self, message="change"):
        """Commit everything."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)


def make_clone(folder, values=TINY):
    """Copy what git tracks here (and new files that it does not ignore) into a fresh repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("metrics/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # with its date, by which Numba knows what it compiled
    kernels = "noisy_student/noise/kernels/__pycache__"
    (folder / kernels).mkdir()
    for compiled in (ROOT / kernels).glob("*.nb?"):  # else every clone compiles for 8 s
        shutil.copy2(compiled, folder / kernels)
    clone = Clone(folder)
    path = folder / "params.yaml"
    path.write_text(presets.fresh(with_values(digits_100(), values)))
    clone.run("git", "init", "-q")
    clone.commit("tiny")
    return clone
