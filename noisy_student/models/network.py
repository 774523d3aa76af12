"""What every network is: its parameters, what can be said of it without building it, and its layers."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from noisy_student.data.views import Images
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.types import Floats
from noisy_student.settings.schema import Section, empty

if TYPE_CHECKING:
    from keras import KerasTensor

    from noisy_student.models.layers import Layers
else:
    KerasTensor = Layers = Any  # to know a network's parameters Keras is not imported

Blocks = Sequence[Any]  # a tuple a block, first block first; each begins with the block's name


class Network(Section):
    """A network; a file of `networks/` holds one subclass and gives it its `name`.

    The fields are what the section `model` takes besides the name; validators refuse what cannot be built. No
    network imports Keras: `features` makes its layers by a `models.layers.Layers`.
    """

    name: str

    rescaling: ClassVar[dict] = {"scale": 1 / 127.5, "offset": -1.0}  # of the pixels
    # Keras' momentum of 0.99 would take hundreds of steps to forget the initial statistics, longer than
    # a short training has; these are the values of the usual CIFAR implementations.
    normalisation: ClassVar[dict] = {"momentum": 0.9, "epsilon": 1e-5}
    pooling: ClassVar[str] = "average"  # average | max: of the features over all places
    logit_scale: ClassVar[float] = 1.0  # what the last layer's output is multiplied by
    untitled: ClassVar[set[str]] = set()  # fields that do not stand in the title
    too_small: ClassVar[str] = ""  # what else helps if images are too small

    @property
    def title(self) -> str:
        """The name of the Keras model, e.g. "resnet_8_16"; it stands in its file."""
        return "_".join(map(str, self.model_dump(exclude=self.untitled, exclude_none=True).values()))

    @property
    def total_stride(self) -> int:
        """How many times smaller than the images the features are."""
        return 4

    @property
    def least_image_size(self) -> int:
        """Pixels of the smallest images of which something is left."""
        return self.total_stride

    def blocks(self) -> Blocks:
        """See `Blocks`; most networks' are those of `staged`."""
        raise NotImplementedError

    def block_names(self) -> list[str]:
        """Names of all blocks in order."""
        return [name for name, *_ in self.blocks()]

    def shortcuts(self) -> list[str]:
        """Names of the blocks that have a shortcut, in order; all unless a network says otherwise."""
        return self.block_names()

    def features(self, images: KerasTensor, layers: Layers) -> KerasTensor:
        """Normalised images (N, H, W, 3) -> features (N, ceil(H / s), ceil(W / s), C); s is the `total_stride`."""
        raise NotImplementedError

    def fitted_kernels(self, images: Images) -> dict[str, Floats]:
        """{layer: kernel} of the layers that are fitted to the training's images before its first step; here none."""
        return {}

    def check_image_size(self, size: int, *, where: str = "data.image_size") -> None:
        """Raise ParamsError unless the strides leave something of an image; `where` is the parameter that says so."""
        least = self.least_image_size
        if size < least:
            raise ParamsError(
                f"{where}={size}: too small for {self.name}, whose strides shrink an image {self.total_stride} times. "
                f"Set {where} to {least} or more{self.too_small} in params.yaml."
            )

    def check_frozen(self, blocks: int | None, *, where: str = "finetune.freeze_blocks") -> None:
        """Raise ParamsError if more blocks shall be frozen than there are; None: none shall."""
        most = len(self.block_names())
        if blocks is not None and blocks > most:
            raise ParamsError(
                f"{where}={blocks}: {self.name} has only {most} blocks with this size. "
                f"Lower it in params.yaml, or leave it {empty(where)} so that all learn."
            )


def staged(stages: Iterable[tuple[int, int, int]]) -> Blocks:
    """(block name, filters, stride) of all blocks; of a stage: its filters, how many blocks, the first one's stride."""
    return [
        (f"stage{stage}_block{block}", filters, stride if block == 1 else 1)
        for stage, (filters, blocks, stride) in enumerate(stages, start=1)
        for block in range(1, blocks + 1)
    ]


def three_stages(name: str, depth: int, *, extra: int, filters: int) -> Blocks:
    """The blocks of a network whose depth is 6n + `extra`: n of `filters`, n of twice and n of four times as many.

    Raises:
        ValueError: there is no such n.
    """
    if depth < 6 + extra or (depth - extra) % 6:
        raise ValueError(
            f"{name} has depth 6n + {extra} (n >= 1): {6 + extra}, {12 + extra}, {18 + extra}, ...; got {depth}"
        )
    blocks = (depth - extra) // 6
    return staged([(filters, blocks, 1), (2 * filters, blocks, 2), (4 * filters, blocks, 2)])
