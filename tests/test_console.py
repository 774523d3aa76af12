"""Whatever encoding a user's locale, terminal or log file has: no traceback, and the same results."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import preset as presets
from noisy_student.runtime import layout
from support import ROOT, with_values

ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
OUTPUTS = {
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "code page 1252": {"PYTHONIOENCODING": "cp1252"},
    "the locale C, names too": ASCII_LOCALE,
}
CLASSES = ["Émeu", "猫", "кот"]


def _run(module, *arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory, digits):
    """A project whose folder, images and classes have names beyond ASCII."""
    folder = tmp_path_factory.mktemp("größe-大")
    rng = np.random.default_rng(0)
    for split, number in (("train", 12), ("test", 4)):
        for name in CLASSES:
            (folder / "photos-фото" / split / name).mkdir(parents=True)
            for i in range(number):
                image = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
                image.save(folder / "photos-фото" / split / name / f"ü{i}.png")
    (folder / "photos-фото/train/猫/damaged-ß.png").write_bytes(b"no image")
    values = {
        "data.source": "folder",
        "data.root": "photos-фото",
        "data.labelled": 9,
        "data.validation": 9,
        "data.test": None,
        "data.image_size": 8,
    }
    (folder / "params.yaml").write_text(presets.fresh(with_values(digits, values)), encoding="utf-8")
    (folder / "presets").symlink_to(ROOT / "presets")
    return folder


@pytest.mark.parametrize("output", ["ASCII", "the locale C, names too"])
def test_a_stage_gives_the_same_classes(project, output):
    done = _run("stages.prepare", folder=project, **OUTPUTS[output])
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
    assert json.loads((project / layout.CLASSES).read_text(encoding="utf-8")) == sorted(CLASSES)
    counted = json.loads((project / layout.DATA_METRICS).read_text(encoding="utf-8"))
    assert "damaged-ß.png" in json.dumps(counted["unreadable"], ensure_ascii=False)


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_is_printed_is_escaped_where_it_cannot_be_shown(project, output, tmp_path):
    """Checkpoints below a folder, a preset's change of a path; a message of a stage and one of a command."""
    (project / "checkpoints/teacher/abc").mkdir(parents=True, exist_ok=True)
    (tmp_path / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    calls = [
        ("commands.preset", ["digits"], tmp_path, 0),
        ("commands.checkpoints", [], tmp_path, 0),
        ("commands.preset", ["猫"], tmp_path, 1),
        ("stages.student", ["猫"], project, 1),
    ]
    for module, arguments, folder, status in calls if output == "ASCII" else calls[:1]:
        done = _run(module, *arguments, folder=folder, DVC_ROOT=str(project), **OUTPUTS[output])
        assert (done.returncode, b"Traceback" in done.stderr) == (status, False), (module, done.stderr.decode())
        if module == "commands.preset" and not status:
            shown = OUTPUTS[output].get("PYTHONIOENCODING", "ascii")
            assert "data.root: photos-фото -> ".encode(shown, "backslashreplace") in done.stdout


@pytest.mark.parametrize("flags", [["-X", "utf8=0"], ["-E"]])
def test_a_program_that_cannot_have_utf8_starts_anew_once_only(flags):
    code = "from noisy_student.runtime import console; console.use_utf8(); print('\\u732b', '\\udce9')"
    done = subprocess.run(
        [sys.executable, *flags, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **ASCII_LOCALE},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"\\udce9" in done.stdout


def _without_reader(command, *, folder, stream="stdout", **environment):
    """Run a program whose output nobody reads: the other end of its pipe is closed."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            timeout=60,
            check=False,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: write},
        )
    finally:
        os.close(write)


@pytest.mark.parametrize("flags", [[], ["-u"]])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_that_nobody_reads_stops_nothing(tmp_path, flags, stream):
    """More than any buffer holds, then a file, a child's output and the exit status."""
    code = (
        "import subprocess, sys; from pathlib import Path; from noisy_student.runtime import console\n"
        f"console.use_utf8(); out = sys.{stream}\n"
        "for i in range(20_000): print('a line of some length', i, file=out)\n"
        "out.flush(); sys.__stderr__.flush(); Path('written').write_text('all'); sys.exit(3)"
    )
    done = _without_reader([*flags, "-c", code], folder=tmp_path, stream=stream)
    assert done.returncode == 3
    assert not done.stdout
    assert not done.stderr
    assert (tmp_path / "written").read_text() == "all"


def test_programs_whose_output_nobody_reads(project, tmp_path):
    """As `| head` does: tables, help, a message of a mistake, a stage that writes files."""
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    calls = [
        (["-m", "commands.preset"], tmp_path, 0),
        (["-m", "commands.preset", "--help"], tmp_path, 0),
        (["-m", "commands.preset", "no-such"], tmp_path, 1),
        (["-m", "stages.prepare"], project, 0),
    ]
    (project / layout.CLASSES).unlink(missing_ok=True)
    for command, folder, status in calls:
        done = _without_reader(command, folder=folder)
        assert done.returncode == status, (command, done.stderr)
        assert b"Traceback" not in done.stderr
        assert b"Broken pipe" not in done.stderr
    assert (project / layout.CLASSES).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    "command",
    [
        ["-c", "print('x', flush=True)"],
        ["-u", "-c", "print('x')"],
        ["-c", "for i in range(20_000): print('a line of some length', i)"],  # more than the buffer holds
        ["-c", "print('x')"],  # written when the program ends
        ["-m", "commands.preset"],
        ["-m", "commands.preset", "--help"],
    ],
)
def test_a_full_disk_for_the_output_is_one_message(command):
    first = "from noisy_student.runtime import console; console.use_utf8()\n"
    command = [first + part if part.startswith(("print", "for")) else part for part in command]
    with Path("/dev/full").open("w") as full:  # every write to it fails: no space left
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: the output cannot be written (No space left on device). Free some space")


MAINS = sorted(
    path.relative_to(ROOT).as_posix()
    for top in ("commands", "experiments", "benchmarks", "stages")
    for path in (ROOT / top).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", MAINS)
def test_every_program_does_so_first(path):
    """By itself, or because `stages.entry.run` does."""
    (block,) = [
        node
        for node in ast.parse(Path(ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
    ]
    first = ast.unparse(block.body[0])
    assert first == "console.use_utf8()" or first.startswith("run(main")
