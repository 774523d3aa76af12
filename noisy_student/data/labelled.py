"""Images with labels, as every stage reads them."""

from dataclasses import dataclass

from noisy_student.data.views import Images
from noisy_student.runtime.types import Labels


@dataclass(frozen=True)
class LabelledImages:
    """Images of one split with their labels."""

    images: Images
    labels: Labels
