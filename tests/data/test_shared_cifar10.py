"""Real images: CIFAR-10 as a tree of JPEGs and as the archive rebuilt from it."""

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from noisy_student.sources.loading import load_source

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/cifar10 beside the repository"),
]


def pairs(split):
    hashes = (hashlib.sha256(np.ascontiguousarray(image)).hexdigest() for image in split.images)
    return sorted(zip(hashes, split.labels.tolist(), strict=True))


def test_jpeg_tree_and_rebuilt_archive_are_the_same_images(tmp_path, data_params):
    with tarfile.open(SHARED / "cifar-10-jpeg.tar.gz") as tar:
        tar.extractall(tmp_path / "tree", filter="data")
    archive = tmp_path / "archive" / "cifar-10-binary.tar.gz"
    archive.parent.mkdir()
    script = SHARED / "rebuild_cifar10_binary.py"
    subprocess.run([sys.executable, script, "--out", tmp_path, "--targz", archive], check=False)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()

    tree = load_source(data_params(source="folder", root=str(tmp_path / "tree"), image_size=32))
    rebuilt = load_source(data_params(source="cifar10", root=str(archive.parent), image_size=32, sha256=sha256))
    assert tree.classes == rebuilt.classes
    assert tree.unreadable == ()
    for split, count in (("train", 50_000), ("test", 10_000)):
        found = pairs(getattr(tree, split))
        assert len(found) == count
        assert found == pairs(getattr(rebuilt, split))
