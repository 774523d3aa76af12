"""Whatever `prepare` reads of a source of any kind, and of any pool, lies in its deps; see tests/test_data_deps.py."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from scipy.io import savemat

from accesses import EXEMPT, faults, recorded, within
from commands import preset as presets
from commands.deps import stage_scripts
from noisy_student.settings.schema import LABELLED_POOL, OWN_SPLIT, PHOTOGRAPHS, POOLS
from small import SMALL, stage
from support import ROOT, with_values

PREPARE = {"prepare": stage_scripts(YAML(typ="safe").load(ROOT / "dvc.yaml"))["prepare"]}


def _svhn(root, images):
    hashes = {}
    for name, count in (("train", 160), ("test", 40), ("extra", 80)):
        pixels, labels = images(count)
        savemat(
            root / f"{name}_32x32.mat", {"X": np.moveaxis(pixels, 0, -1), "y": np.where(labels, labels, 10)[:, None]}
        )
        hashes[f"{name}_32x32.mat"] = hashlib.sha256((root / f"{name}_32x32.mat").read_bytes()).hexdigest()
    return {"data.sha256": hashes, "data.unlabelled_from": OWN_SPLIT}


def _imagenet(root, write_tree, images):
    """Test images in one folder, with a list of their classes; an unlabelled split."""
    for seed, (split, count) in enumerate((("train", 160), ("unlabelled", 80), ("val", 40))):
        write_tree(root, split, *images(count, size=8, seed=seed))
    for path in sorted((root / "val").glob("*/*")):
        with (root / "val.txt").open("a") as file:
            file.write(f"{path.name} {path.parent.name}\n")
        path.rename(root / "val" / path.name)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return {"data.unlabelled_from": OWN_SPLIT}


def _list(elsewhere, images):
    """A list of a .tar that lies elsewhere: of the files that it names DVC knows nothing."""
    with tarfile.open(elsewhere / "pool.tar", "w") as archive:
        for row, image in enumerate(images(80)[0]):
            data = io.BytesIO()
            Image.fromarray(image).save(data, "png")
            member = tarfile.TarInfo(f"{row}.png")
            member.size = data.tell()
            archive.addfile(member, io.BytesIO(data.getvalue()))
    Path("data/raw/pool.txt").write_text(f"{elsewhere}/pool.tar\n")
    return {"data.unlabelled_from": "data/raw/pool.txt"}


@pytest.fixture(params=["digits", "cifar10", "svhn", "folder", "list"])
def values(request, tmp_path, tmp_path_factory, monkeypatch, digits, random_images, write_cifar10, write_tree):
    """Parameters with another source and another pool each; its files lie in data/raw/mine."""
    monkeypatch.chdir(tmp_path)
    for variable in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(variable, raising=False)
    root = tmp_path / "data/raw/mine"
    root.mkdir(parents=True)
    source = request.param
    if source == "list":
        chosen = _list(tmp_path_factory.mktemp("elsewhere"), random_images)
        return with_values(digits, {**SMALL, "data.source": "digits", "data.root": "data/raw/mine", **chosen})
    chosen = {"data.unlabelled_from": PHOTOGRAPHS}
    if source == "cifar10":
        sha256 = write_cifar10(root, random_images(160), random_images(40, seed=1))
        chosen = {"data.sha256": sha256, "data.unlabelled_from": LABELLED_POOL}
    elif source == "svhn":
        chosen = _svhn(root, random_images)
    elif source == "folder":
        chosen = _imagenet(root, write_tree, random_images)
    return with_values(digits, {**SMALL, "data.source": source, "data.root": "data/raw/mine", **chosen})


@pytest.mark.parametrize("store", ["arrays", "shards"])
def test_prepare_reads_its_deps_and_writes_its_outs(values, tmp_path, store):
    values = with_values(values, {"data.store": store})
    (tmp_path / "params.yaml").write_text(presets.fresh(values))
    with recorded("prepare", values) as accesses:
        assert stage("prepare") is None
    found = faults(PREPARE, [accesses])
    assert not [fault for fault in found if fault[1] == "undeclared"]
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert accesses.written == {path for path in there if not within(path, ("data/raw", *EXEMPT))}
    opened = {path for path in accesses.read if path.startswith("data/raw/")}
    data = values["data"]
    assert bool(opened) == (data["source"] != "digits" or data["unlabelled_from"] not in POOLS)  # scikit-learn's else
