"""The arrays that travel through the library, each named once, with its shape as jaxtyping writes it.

N images, of S x S or H x W pixels, in K classes.
"""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

Pixels = Annotated[npt.NDArray[np.uint8], "N H W 3"]  # RGB, in memory; what may lie elsewhere is `data.views.Images`
Labels = Annotated[npt.NDArray[np.int64], "N"]  # in [0, K)
Probs = Annotated[npt.NDArray[np.float32], "N K"]  # rows sum to 1
Rows = Annotated[npt.NDArray[np.int64], "N"]  # which images of a set
Keys = Annotated[npt.NDArray[np.uint64], "N"]  # one an image, see `seeds.image_keys`
Floats = npt.NDArray[np.floating[Any]]  # shapes differ, and stand in the docstring
Ints = npt.NDArray[np.integer[Any]]
Mask = Annotated[npt.NDArray[np.bool_], "N"]
Tensor = Any  # of the framework that Keras runs on
