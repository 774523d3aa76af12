"""The sections of `params.yaml`: every parameter, its range and what must hold between them."""

from posixpath import normpath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, field_validator, model_validator

# Named by `data.unlabelled_from` when the unlabelled pool is no folder of images. They are files of this
# repository, because DVC wants every dependency to exist.
HELD_BACK = "data/pools/held-back"
OWN_SPLIT = "data/pools/own-split"
LABELLED_POOL = "data/pools/labelled"
PHOTOGRAPHS = "data/pools/photographs"

# What the stages write; no input may lie in it or above it.
OUTPUTS = (
    *(f"data/{name}" for name in ("labelled", "validation", "unlabelled", "test", "truth", "classes.json")),
    *("data/pseudo_labels", "data/balanced", "data/downloads", "data/extra", "data/robustness"),
    *("models", "metrics"),
)

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
ImageSize = Annotated[int, Field(ge=8, le=1024)]  # pixels
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
Coefficient = Annotated[float, Field(gt=0.0, le=10.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _prediction_batch_size(value):
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError("give a number of images (1 or more), or auto")


# A plain validator, because pydantic would report a union once for each of its sides.
PredictionBatchSize = Annotated[int | str, PlainValidator(_prediction_batch_size)]


def check_input(name, path):
    """Raise ValueError if a path lies in or above what the stages write."""
    normal = normpath(path)
    for out in OUTPUTS:
        if normal == "." or f"{out}/".startswith(f"{normal}/") or f"{normal}/".startswith(f"{out}/"):
            raise ValueError(
                f"{name}={path}: the stages write {out}, so it cannot be an input too; use a folder of its "
                "own, such as data/raw/NAME"
            )


def check_name(key):
    """Raise ValueError unless a key can name files."""
    if not key.replace("-", "").replace("_", "").isalnum() or not key.isascii():
        raise ValueError(f"the key {key!r} names files: use letters, digits, - and _ only")


class Section(BaseModel):
    """A section of the parameters: unknown keys are errors, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataParams(Section):
    """Where images come from and how they are split; all counts are images.

    `store` is how `prepare` keeps them: as "arrays" of pixels, or as "shards" of encoded images, for more
    than the memory holds. Shards of "png" hold the same pixels as arrays, those of "jpeg" take a quarter of
    the room.
    """

    source: Literal["digits", "cifar10", "folder", "svhn"]
    root: Annotated[str, Field(min_length=1)]
    seed: Seed
    image_size: ImageSize
    resize: Literal["squash", "crop"]
    store: Literal["arrays", "shards"]
    encoding: Literal["png", "jpeg"]
    labelled: Positive | None
    validation: Positive | None
    unlabelled: Positive | None
    unlabelled_from: Annotated[str, Field(min_length=1)]
    test: Positive | None
    sha256: Sha256 | dict[str, Sha256] | None

    @model_validator(mode="after")
    def _check_paths(self):
        for pool in (HELD_BACK, OWN_SPLIT, LABELLED_POOL, PHOTOGRAPHS):
            if self.unlabelled_from != pool and normpath(self.unlabelled_from) == pool:
                raise ValueError(f"data.unlabelled_from: write it as {pool} (found {self.unlabelled_from!r})")
        for name in ("root", "unlabelled_from"):
            check_input(f"data.{name}", getattr(self, name))
        return self

    @model_validator(mode="after")
    def _check_sha256(self):
        fitting = {"cifar10": str, "svhn": dict}.get(self.source)
        if self.sha256 is not None and (fitting is None or not isinstance(self.sha256, fitting)):
            wanted = {str: "one hash, of its archive", dict: "a mapping {file name: hash}"}.get(fitting)
            raise ValueError(f"data.sha256: {self.source} takes {wanted or 'none'}, or null")
        return self

    @model_validator(mode="after")
    def _check(self):
        if self.source == "digits" and self.test is None:
            raise ValueError("data.test: the digits have no test split of their own; give the number of images to cut")
        if self.source in ("digits", "cifar10") and self.unlabelled_from == OWN_SPLIT:
            raise ValueError(
                f"data.unlabelled_from: {self.source} has no unlabelled split of its own; "
                f"use {HELD_BACK} or the path of a folder of images"
            )
        if self.labelled is None and self.unlabelled_from == HELD_BACK:
            raise ValueError(
                "data.labelled: all images would be labelled, so none is held back as unlabelled; "
                "give a number, or set data.unlabelled_from to a folder of images"
            )
        return self


class ModelParams(Section):
    """A network of `noisy_student.models`.

    `depth` is the number of weighted layers; `width` is the filters of the first stage (resnet) or
    the widening factor (wide_resnet). An efficientnet takes a `size` of b0 to b7 or l0 to l2, or instead the
    coefficients by which B0 is scaled; `small_images` keeps more of images of 32 pixels. The article's
    ResNet-50 takes nothing.
    """

    name: Literal["resnet", "wide_resnet", "efficientnet", "article_resnet50"]
    depth: Positive | None = None
    width: Positive | None = None
    size: Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "l0", "l1", "l2"] | None = None
    width_coefficient: Coefficient | None = None
    depth_coefficient: Coefficient | None = None
    small_images: bool = False

    @model_validator(mode="after")
    def _check(self):
        self._check_fitting()
        if self.name == "efficientnet":
            given = [value is not None for value in (self.width_coefficient, self.depth_coefficient)]
            if not (any(given) != (self.size is not None) and all(given) == any(given)):
                raise ValueError("efficientnet needs either size, or both width_coefficient and depth_coefficient")
            return self
        if self.name == "article_resnet50":
            return self
        if self.depth is None or self.width is None:
            raise ValueError(f"{self.name} needs depth and width")
        extra = {"resnet": 2, "wide_resnet": 4}[self.name]
        if self.depth < 6 + extra or (self.depth - extra) % 6:
            raise ValueError(
                f"{self.name} has depth 6n + {extra} (n >= 1): {6 + extra}, {12 + extra}, "
                f"{18 + extra}, ...; got {self.depth}"
            )
        return self

    def _check_fitting(self):
        """Refuse what another network takes."""
        fitting = {
            "efficientnet": {"size", "width_coefficient", "depth_coefficient", "small_images"},
            "article_resnet50": set(),
        }.get(self.name, {"depth", "width"})
        given = {name for name, value in self if name != "name" and value not in (None, False)}
        if given - fitting:
            raise ValueError(
                f"{self.name} takes {', '.join(sorted(fitting)) or 'no size, it is fixed'}: leave "
                f"{', '.join(sorted(given - fitting))} out (null)"
            )


class OptimizerParams(Section):
    """`weight_decay` is decoupled (per step, times the learning rate) and spares biases and norms.

    So adam with a weight decay is AdamW. `momentum` is of sgd (Nesterov's) and rmsprop; `rho`, the decay of
    the mean square, and `epsilon` are rmsprop's, with the values of EfficientNet's official code.
    """

    name: Literal["sgd", "adam", "rmsprop"]
    learning_rate: Annotated[float, Field(gt=0.0)]
    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    rho: Fraction = 0.9
    epsilon: Annotated[float, Field(gt=0.0)] = 1e-3


class ScheduleParams(Section):
    """How the learning rate changes.

    `warmup` is the share of all steps in which the rate rises from 0. An exponential schedule multiplies the
    rate by `decay_rate` after every share `decay_every` of all steps. The plateau rules hold from
    epoch `plateau_from_epoch` (counted from 1) on: the rate is multiplied by 0.1 after
    `plateau_patience` epochs without a better validation loss, the training stops after
    `stop_patience` such epochs.
    """

    name: Literal["constant", "cosine", "linear", "exponential"]
    warmup: Fraction = 0.0
    decay_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.97
    decay_every: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    plateau_from_epoch: Positive | None = None
    plateau_patience: Positive = 3
    stop_patience: Positive = 10

    @model_validator(mode="after")
    def _check(self):
        if self.plateau_from_epoch is not None and (self.name != "constant" or self.warmup):
            raise ValueError("plateau_from_epoch needs name: constant and warmup: 0")
        if (self.name == "exponential") != (self.decay_every is not None):
            raise ValueError("decay_every goes with name: exponential, and with no other")
        return self


class FinetuneParams(Section):
    """What follows a training: some passes over the labelled images, as a rule at a higher resolution.

    Touvron et al. (2019, arXiv:1906.06423) found that a network trained at one resolution is best used at a
    higher one after such a correction; Noisy Student does so for 1.5 epochs (section 3.1).

    `epochs` may be a fraction, 0 leaves it out; `image_size` of null is the training's. `augment` says
    whether the training's input noise goes on; dropout and, in blocks that learn, stochastic depth do in any
    case. `freeze_blocks` keeps the stem and so many blocks as they are, null none. The learning rate falls
    to 0 along half a cosine; the optimizer is otherwise the training's, and there is no moving average.
    """

    epochs: Annotated[float, Field(ge=0.0)]
    image_size: ImageSize | None
    augment: bool
    freeze_blocks: Annotated[int, Field(ge=0)] | None
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0.0)]


class TrainingParams(Section):
    """One training; `epochs` or `steps`, not both.

    `validate_every` counts steps and divides `steps`; with `epochs` it is null: every epoch is
    validated. `ema` is the decay of the weights' moving average (0: off), which is then what is
    validated and saved. `image_size` is the side to which images are resized for this training; null leaves
    them at `data.image_size`.
    """

    model: ModelParams
    image_size: ImageSize | None
    noise: bool
    epochs: Positive | None
    steps: Positive | None
    validate_every: Positive | None
    select_by: Literal["loss", "accuracy"]
    batch_size: Positive
    optimizer: OptimizerParams
    schedule: ScheduleParams
    label_smoothing: Fraction
    ema: Fraction
    finetune: FinetuneParams

    @model_validator(mode="after")
    def _check_length(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps, and set the other to null")
        plateau = self.schedule.plateau_from_epoch
        if plateau is not None and self.epochs is None:
            raise ValueError("schedule.plateau_from_epoch needs epochs, not steps")
        if plateau is not None and plateau > self.epochs:
            raise ValueError(f"schedule.plateau_from_epoch={plateau} lies after epochs={self.epochs}")
        every = self.validate_every
        if (every is None) != (self.steps is None) or (every is not None and self.steps % every):
            raise ValueError(
                f"validate_every={every} goes with steps={self.steps} and must divide it; with epochs it is "
                "null: every epoch is validated"
            )
        return self


class StudentParams(TrainingParams):
    """A student's training: how labelled and pseudo-labelled images are joined.

    mix: "ratio" takes `batch_size` labelled and `unlabelled_ratio * batch_size` pseudo-labelled
    images a step, loss = mean(labelled) + `unlabelled_weight` * mean(pseudo-labelled); "concat"
    shuffles both sets together, as in the article; "pseudo" trains on pseudo-labelled images only, so that
    with `finetune` the student is pretrained, then fine-tuned (the paper's alternative to joint training);
    "none" trains on labelled images only (the control that shows what noise alone does).
    """

    mix: Literal["ratio", "concat", "pseudo", "none"]
    unlabelled_ratio: Annotated[float, Field(gt=0.0, le=64.0)]
    unlabelled_weight: Annotated[float, Field(gt=0.0)]
    init: Literal["random", "teacher"]

    @property
    def uses_pseudo_labels(self):
        """Whether the student learns from any."""
        return self.mix != "none"

    @property
    def unlabelled_batch_size(self):
        """Pseudo-labelled images a step in the "ratio" mix."""
        return max(1, round(self.batch_size * self.unlabelled_ratio))


class RandAugmentParams(Section):
    """`ops` operations an image (0: off); strength `magnitude` out of `levels`."""

    ops: Annotated[int, Field(ge=0, le=10)]
    magnitude: Annotated[int, Field(ge=0)]
    levels: Positive
    table: Literal["article", "standard"]
    magnitude_sampling: Literal["fixed", "uniform"]
    fill: Annotated[int, Field(ge=0, le=255)]

    @model_validator(mode="after")
    def _check(self):
        if self.magnitude > self.levels:
            raise ValueError(f"magnitude={self.magnitude} exceeds levels={self.levels}")
        if self.magnitude_sampling == "uniform" and not 1 <= self.magnitude <= 10:
            raise ValueError(
                "magnitude_sampling: uniform draws an index from 0 to magnitude - 1 of the article's "
                f"10 strengths, so magnitude must be 1 to 10; got {self.magnitude}"
            )
        return self


class StochasticDepthParams(Section):
    """`survival_probability` is that of the last block (1: off)."""

    survival_probability: Annotated[float, Field(gt=0.0, le=1.0)]
    coin: Literal["batch", "sample"]


class NoiseParams(Section):
    """The noise of a student (and of a teacher with `teacher.noise`)."""

    randaugment: RandAugmentParams
    dropout: Fraction
    stochastic_depth: StochasticDepthParams


class AugmentationParams(Section):
    """Plain augmentation of every training, noise or not.

    flip: mirror half of the images left to right; crop: pad by so many pixels and cut at random.
    """

    flip: bool
    crop: Annotated[int, Field(ge=0, le=64)]


class PseudoLabelParams(Section):
    """How the teacher labels, and which labels are kept.

    threshold, max_confidence: an image is kept when its highest probability is greater than the first and
    at most the second; batch_size: images a step of labelling, "auto" by network and device, see
    `predict.automatic_batch_size`.
    """

    threshold: Fraction
    max_confidence: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    kind: Literal["soft", "hard"]
    batch_size: PredictionBatchSize
    noise: bool

    @model_validator(mode="after")
    def _check(self):
        if self.max_confidence <= self.threshold:
            raise ValueError(f"max_confidence={self.max_confidence} leaves nothing above threshold={self.threshold}")
        return self


class BalanceParams(Section):
    """`per_class`: images a class after balancing; null takes the largest class's count."""

    enabled: bool
    per_class: Annotated[int, Field(ge=1, le=10_000_000)] | None
    on_empty: Literal["error", "skip"]


class EvalParams(Section):
    """What is measured of the models, on images that none of them was trained on.

    batch_size: test images a step; "auto" as for pseudo-labels; robustness: "fast" measures a sample of the
    test images at three severities, "full" all; extra_tests: {name: folder} of further labelled images, see
    `robustness.extra`; that no model was trained on these is for the user to see to.
    """

    batch_size: PredictionBatchSize
    robustness: Literal["off", "fast", "full"]
    extra_tests: dict[str, Annotated[str, Field(min_length=1)]]

    @field_validator("extra_tests")
    @classmethod
    def _check_names(cls, extra_tests):
        for key, path in extra_tests.items():
            check_name(key)
            check_input(f"eval.extra_tests.{key}", path)
        return extra_tests


class CheckpointParams(Section):
    """`every_minutes`: longest work that a killed stage repeats; 0 saves at every opportunity."""

    every_minutes: Annotated[float, Field(ge=0.0)]
