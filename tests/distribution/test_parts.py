"""A process makes its part of every batch: joined, the parts are the batch."""

import numpy as np
import pytest

from noisy_student.launching import faults
from noisy_student.noise.in_graph import InGraphNoise
from noisy_student.noise.pipeline import input_noise
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.training import distribution
from noisy_student.training.batches import Share, TrainingBatches
from noisy_student.training.distribution import Sharing
from noisy_student.training.examples import LabelledExamples
from noisy_student.training.phases import Phase


def _shares():
    rng = np.random.default_rng(0)
    examples = [
        LabelledExamples(rng.integers(0, 256, (n, 8, 8, 3), np.uint8), rng.integers(0, 3, n), classes=3)
        for n in (7, 11)
    ]
    return [Share("labelled", examples[0], 4), Share("pseudo", examples[1], 8, 0.5)]


@pytest.mark.parametrize("parts", [2, 3, 4, 12])
@pytest.mark.parametrize("on_device", [False, True])
def test_parts_are_the_whole_batch(changed, parts, on_device):
    noise = input_noise(changed(augmentation__crop=1), noised=True, image_size=8)
    in_graph = InGraphNoise(noise) if on_device else None

    def batches(part):
        return TrainingBatches(_shares(), noise=noise, round_steps=5, seed=1, part=part, in_graph=in_graph)

    whole, own = batches((0, 1)), [batches((which, parts)) for which in range(parts)]
    for step in range(5):
        pieces = [each[step] for each in own]
        for place in range(3):
            expected, found = whole[step][place], [piece[place] for piece in pieces]
            if isinstance(expected, dict):
                for key in expected:
                    np.testing.assert_array_equal(expected[key], np.concatenate([each[key] for each in found]))
            else:
                np.testing.assert_array_equal(expected, np.concatenate(found))
    assert {each.batch_size for each in own} == {12}


def _phase(*sizes):
    shares = [Share(str(size), None, size) for size in sizes]
    return Phase("student-gen1", None, shares, image_size=8, round_steps=1, rounds=1, seed=0)


def test_devices_that_do_not_divide_a_batch_are_refused():
    Sharing(devices=4).check(_phase(4, 8))
    with pytest.raises(ParamsError, match=r"student-gen1: 8 devices cannot share a batch of 12 .*; 8 or 16 would do"):
        Sharing(devices=8).check(_phase(4, 8))
    with pytest.raises(ParamsError, match=r"64 devices .* 12 images equally; 64 would do"):
        Sharing(devices=64).check(_phase(4, 8))


def test_too_few_devices_are_named():
    assert "there is 1 device to share" in faults.too_few(None, 1)
    assert "asks for 8, but there are 2 devices here" in faults.too_few(8, 2)


def test_a_process_alone_is_none_of_several(monkeypatch):
    monkeypatch.delenv("NOISY_STUDENT_RANK", raising=False)
    distribution.joined.cache_clear()
    with pytest.raises(UserError, match="Run the stages by dvc repro"):
        distribution.joined("processes")


class _Follower(Sharing):
    """Of a leader that goes on from step 8."""

    def of_leader(self, values):
        return np.full_like(values, 8)


def test_a_checkpoint_that_a_host_sees_late_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(distribution, "SEEN_AFTER", 0.5)
    here = Checkpoints(tmp_path)
    with pytest.raises(UserError, match=r"step 8 is not here, only that of step 0: all hosts must see the same"):
        _Follower().newest(here, _phase(4))

    def arrived(seconds):
        here.save(8, {}, {"history": [{}] * 8})

    monkeypatch.setattr(distribution.time, "sleep", arrived)
    assert _Follower().newest(here, _phase(4)).step(_phase(4)) == 8
