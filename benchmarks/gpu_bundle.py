"""Write what `gpu.sh` needs on a GPU machine without network into one file, below 64 MiB.

python -m benchmarks.gpu_bundle                     # noisy-student-gpu.tar.gz, for this version of Python
python -m benchmarks.gpu_bundle --python 3.12       # for another

Copy it and cifar-10-binary.tar.gz there, then:
tar xf noisy-student-gpu.tar.gz && bash noisy-student-gpu/gpu.sh --cifar10 .
"""

import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from benchmarks.gpu import CODE, ROOT
from commands import new_parser
from noisy_student.runtime import console

NAME = "noisy-student-gpu"
LIMIT = 64 << 20  # bytes
# What a machine with JAX (so NumPy, SciPy, ml_dtypes, opt_einsum) and PyTorch may lack. Numba is left out, because the
# device carries out the noise there, and OpenCV, because CIFAR-10 is no folder of images.
PACKAGES = (
    *("keras", "absl-py", "h5py", "namex", "optree", "packaging", "rich", "markdown-it-py", "mdurl", "pygments"),
    *("pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection"),
    *("ruamel-yaml", "pillow", "psutil", "tqdm"),
)


def pinned(lock: str) -> str:
    """The lines of a lock file that pin and hash PACKAGES.

    Raises:
        ValueError: the lock has no such package.
    """
    entries = {}
    for entry in re.split(r"\n(?=\S)", lock):
        entries.setdefault(re.split(r"[=\s;]", entry, maxsplit=1)[0].lower().replace(".", "-"), entry)
    missing = sorted(set(PACKAGES) - set(entries))
    if missing:
        raise ValueError(f"requirements-jax.txt has no {', '.join(missing)}")
    return "\n".join(entries[name] for name in PACKAGES) + "\n"


def download(folder: Path, python: str) -> None:
    """The wheels of PACKAGES for Linux on x86-64, checked by the hashes of the lock."""
    requirements = folder.with_name("requirements.txt")
    requirements.write_text(pinned((ROOT / "requirements-jax.txt").read_text(encoding="utf-8")), encoding="utf-8")
    platforms = [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "_2_17", "_2_24", "_2_27", "_2_28")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    subprocess.run([*command, *platforms, "--dest", str(folder), "-r", str(requirements)], check=True)


def build(target: Path, wheels: Path) -> int:
    """Write the bundle; return its size in bytes."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *CODE], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    with tarfile.open(target, "w:gz") as tar:
        tar.add(ROOT / "benchmarks/gpu.sh", f"{NAME}/gpu.sh")
        for name in filter(None, tracked.split("\0")):
            tar.add(ROOT / name, f"{NAME}/code/{name}")
        tar.add(wheels, f"{NAME}/wheels")
    return target.stat().st_size


def main():
    """Write the bundle and print its size."""
    parser = new_parser("benchmarks.gpu_bundle", __doc__)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python", default=here, metavar="VERSION", help=f"Python's, there; default: {here}")
    parser.add_argument("--to", default=f"{NAME}.tar.gz", metavar="FILE", help=f"default: {NAME}.tar.gz")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder, "wheels")
        wheels.mkdir()
        download(wheels, options.python)
        size = build(Path(options.to), wheels)
    print(f"{options.to}: {size / 2**20:.1f} MiB, for Python {options.python} on Linux x86-64")
    if size > LIMIT:
        sys.exit(f"error: more than {LIMIT >> 20} MiB")


if __name__ == "__main__":
    console.use_utf8()
    main()
