"""The article's recipe at full size, for a few steps."""

import numpy as np
import pytest

from commands import preset as presets
from noisy_student.data.labelled import LabelledImages
from noisy_student.settings import params
from support import ROOT

pytestmark = pytest.mark.slow


def test_twenty_steps_of_the_article(monkeypatch):
    """Its ResNet-50 with all its noise, concatenated sets, batch 64, on images as large as CIFAR-10's."""
    from noisy_student.training.shares import student_shares
    from noisy_student.training.train import train

    monkeypatch.chdir(ROOT)
    values = presets.parameters("cifar10-article")
    values["student"] |= {"epochs": None, "steps": 20, "validate_every": 10}
    values["student"]["schedule"] |= {"plateau_from_epoch": None}
    article = params.check(values)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(200) % 10
    probs = rng.dirichlet(np.full(10, 0.1), 200).astype(np.float32)
    labelled = LabelledImages(images, labels)
    shares = student_shares(
        article.student,
        labelled,
        unlabelled=images,
        probs=probs,
        rows=np.arange(200),
        kind="soft",
        classes=10,
    )
    trained = train(
        article,
        article.student,
        shares,
        name="student-gen1",
        labelled=labelled,
        validation=labelled,
        classes=10,
    )
    assert trained.summary["parameters"] == 23_590_794
    assert trained.summary["macs"] == pytest.approx(3.98e9, rel=0.01)
    survival = list(trained.summary["survival_probability"].values())
    assert (len(survival), survival[0], survival[-1]) == (16, pytest.approx(1 - 0.2 / 16), pytest.approx(0.8))
    assert trained.summary["steps"] == 20
    assert all(np.isfinite(weight).all() for weight in trained.model.get_weights())
