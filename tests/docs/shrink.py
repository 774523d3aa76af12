"""Make what params.yaml describes small: run in a clone, after a command of the docs has written a preset.

`--learning`: but let it learn images of one colour each.
CIFAR-10 is taken from the folder that the environment variable CIFAR names.
"""

import hashlib
import os
import sys
from pathlib import Path

from commands import preset
from noisy_student.settings.params import read_yaml

SHORT = {"steps": 4, "validate_every": 2, "epochs": None, "batch_size": 8}

NETWORKS = {  # of the others the defaults are small; what a network does not take must not be set
    "wide_resnet": {"wide_depth": 10, "widening_factor": 1},
    "whitened_convnet": {f"stage{stage}_filters": 8 for stage in (1, 2, 3)},
}


def _shorten(training):
    for key, value in SHORT.items():
        if key in training or key == "steps":
            training[key] = value
    training.get("finetune", {}).update({"epochs": 0.0} if training.get("finetune") else {})
    training.get("schedule", {}).pop("plateau_from_epoch", None)


def main():
    """Write it."""
    path = Path("params.yaml")
    tree = read_yaml(path)
    for training in (tree["teacher"], tree["student"]):
        _shorten(training)
        training["validate_every"] = 2
        training["model"] |= NETWORKS.get(training["model"]["name"], {})
    for given in tree["generations"].values():
        if "student" in given:
            _shorten(given["student"])
    data = tree["data"]
    data["labelled"] = min(data["labelled"] or 40, 40)
    data["unlabelled"] = 60
    data["validation"] = data["validation"] and 20
    data["test"] = data["test"] and 40
    tree["pseudolabel"]["threshold"] = 0.0
    tree["balance"]["on_empty"] = "skip"
    tree["eval"]["robustness"] = "off"
    if data["source"] == "cifar10":
        data["root"] = os.environ["CIFAR"]
        data["sha256"] = hashlib.sha256(Path(data["root"], "cifar-10-binary.tar.gz").read_bytes()).hexdigest()
    if "--learning" in sys.argv:
        tree["teacher"]["steps"], tree["student"]["init"] = 200, "teacher"
        tree["teacher"]["validate_every"] = 50
        tree["student"]["optimizer"]["learning_rate"] = 0.001
    path.write_text(preset.rewrite(path.read_text(encoding="utf-8"), tree), encoding="utf-8")


if __name__ == "__main__":
    main()
