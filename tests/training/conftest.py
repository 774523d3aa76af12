"""Fixtures: a network that is built fast."""

import pytest

from noisy_student.models.network import staged
from noisy_student.models.networks.resnet import ResNet


@pytest.fixture(scope="module")
def one_block():
    """ResNets of one block, with a shortcut, in place of three: most of a short training goes into making its graph."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResNet, "blocks", lambda network: staged([(2 * network.width, 1, 2)]))
        yield
