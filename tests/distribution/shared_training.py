"""A short training whose batches are shared out, in processes of their own: what the tests of this folder compare.

python shared_training.py KIND FILE [KEY=VALUE ...]
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from noisy_student import backends
from noisy_student.launching import launcher, ranks
from noisy_student.settings import params
from support import digits_100, with_values

BASE = {
    "backend": "jax",
    "precision": "float32",
    "data.image_size": 8,
    "student.mix": "ratio",
    "student.model.width": 4,
    "student.batch_size": 4,
    "student.unlabelled_ratio": 3.0,
    "student.steps": 20,
    "student.validate_every": 10,
    "student.ema": 0.9,
    "augmentation.crop": 1,
}
NOISED = {"noise.dropout": 0.3, "noise.stochastic_depth.survival_probability": 0.5}
PLAIN = {"student.noise": False, "student.ema": 0.0}
CLASSES = 3


def main(kind, file, values):
    """Train; rank 0, if there are several, writes the weights and the learning curve.

    A process of rank 1 kills itself by SIGKILL at the step of `kill_at`, once.
    """
    values = json.loads(values)
    kill_at = values.pop("kill_at", None)
    settings = params.check(with_values(digits_100(), BASE | values | {"distribution": kind}))
    if kind == "processes" and ranks.current() is None:
        here = [os.path.dirname(__file__), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(here)
        values |= {"kill_at": kill_at} if kill_at else {}
        found = launcher.launched("shared_training", kind, file, json.dumps(values), title="training")
        print(json.dumps(found))
        return found
    backends.select(settings.backend)
    from noisy_student.models.network import staged
    from noisy_student.models.networks.resnet import ResNet
    from noisy_student.training import distribution

    ResNet.blocks = lambda network: staged([(2 * network.width, 1, 2)])  # most of the time goes into making the graph
    sharing = distribution.joined(kind)
    if kill_at and sharing.rank == 1:
        _kill_once(Path(file).with_suffix(".killed"), kill_at)
    with sharing.opened("training", lambda: "0" * 24, every_minutes=0) as saved:
        trained = _trained(settings, saved)
        if sharing.leads:
            np.savez(file, *trained.model.get_weights(), history=json.dumps(trained.history))
    return {"resumed_from": saved.resumed_from, "leads": sharing.leads, "devices": sharing.devices}


def _trained(settings, saved):
    from noisy_student.data.labelled import LabelledImages
    from noisy_student.training import train
    from noisy_student.training.shares import student_shares

    def images(n, seed):
        return LabelledImages(
            np.random.default_rng(seed).integers(0, 255, (n, 8, 8, 3), np.uint8), np.arange(n) % CLASSES
        )

    labelled, pool = images(30, 0), images(40, 2)
    shares = student_shares(
        settings.student,
        labelled,
        unlabelled=pool.images,
        probs=np.eye(CLASSES, dtype=np.float32)[pool.labels],
        rows=np.arange(40),
        kind="soft",
        classes=CLASSES,
    )
    sets = {"labelled": labelled, "validation": images(30, 1), "classes": CLASSES, "checkpoints": saved}
    return train.train(settings, settings.student, shares, name="student-gen1", **sets)


def _kill_once(mark, step):
    from noisy_student.training.batches import TrainingBatches

    real = TrainingBatches.__getitem__

    def killing(batches, index):
        if batches.round * batches.round_steps + batches.done + index == step and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(batches, index)

    TrainingBatches.__getitem__ = killing


if __name__ == "__main__":
    kind, file, *given = sys.argv[1:]
    main(kind, file, *given)
