"""The sections of `params.yaml`: every parameter, its range, default and comment, and what must hold between them.

Networks and sources are known by the names of their files only: a stage that uses none must not depend on their code.
Their own parameters and rules are checked by the stages that use them, and by the stage `check` before all others.
"""

import os
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, field_validator, model_validator

from noisy_student.runtime import layout

# Named by `data.unlabelled_from` when the unlabelled pool is no folder of images. They are files of this
# repository, because DVC wants every dependency to exist.
AUTO = "data/pools/auto"
HELD_BACK = "data/pools/held-back"
OWN_SPLIT = "data/pools/own-split"
LABELLED_POOL = "data/pools/labelled"
PHOTOGRAPHS = "data/pools/photographs"
POOLS = (AUTO, HELD_BACK, OWN_SPLIT, LABELLED_POOL, PHOTOGRAPHS)
WEIGHTS = "data/raw/weights"  # of a pretrained start; a folder of this repository, for the same reason

ImageSize = Annotated[int, Field(ge=8, le=1024)]  # pixels
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
AboveZero = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Location = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _prediction_batch_size(value):
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError("give a number of images (1 or more), or auto")


def _levels(value):
    if value == "auto" or (type(value) is int and 2 <= value <= 2**32):
        return value
    raise ValueError("give a number of levels (2 or more; 4096 for 12 bits), or auto")


def _kept(value):
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise ValueError("give a number of classes (1 or more), or all")


# Plain validators, because pydantic would report a union once for each of its sides.
PredictionBatchSize = Annotated[int | str, PlainValidator(_prediction_batch_size)]
Levels = Annotated[int | Literal["auto"], PlainValidator(_levels)]
Kept = Annotated[int | Literal["all"], PlainValidator(_kept)]


def _files(folder: str) -> list[str]:
    """Names of the modules in a folder of the library, none of which is imported."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parents[1] / folder)]))


def one_of(kind: str, names: Iterable[str]) -> AfterValidator:
    """A validator that lists the names if another one is given."""

    def check(name):
        if name not in names:
            raise ValueError(f"no such {kind}; choose one of {', '.join(names)}")
        return name

    return AfterValidator(check)


NETWORKS, SOURCES = _files("models/networks"), _files("sources/adapters")


def parameter(default: Any, comment: str) -> Any:
    """A field of a section: its default, and its comment in params.yaml."""
    return Field(default, description=comment)


def empty(name: str) -> str:
    """How to leave a parameter empty: in params.yaml nothing follows its name, for DVC it is null."""
    return f"empty (`-S {name}=null`)"


OWN_FOLDER = "Move the images into a folder of their own, such as data/raw/NAME or one outside the project"


def refuse_generated(name: str, path: str, *, mend: str = OWN_FOLDER) -> None:
    """Raise ValueError if a path is, holds or lies in a folder of generated files."""
    folder = layout.generated_folder_at(path)
    if folder is not None:
        shown = path if Path(path).resolve() == Path(os.path.abspath(path)) else f"{path} ({Path(path).resolve()})"
        raise ValueError(f"{name}={shown}: the stages write {folder}, so it cannot be an input too. {mend}")


def check_name(key: str) -> None:
    """Raise ValueError unless a key can name files."""
    if not key.replace("-", "").replace("_", "").isalnum() or not key.isascii():
        raise ValueError(f"the key {key!r} names files: use letters, digits, - and _ only")


class Section(BaseModel):
    """A section of the parameters: unknown keys are errors, nothing is converted silently.

    DVC wants every parameter to stand in params.yaml; `partial` says that a section may leave out what has a default,
    because its `name` decides what it needs.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    partial: ClassVar[bool] = False
    takers: ClassVar[dict[str, tuple[str, ...]]] = {}  # {parameter: the names that take it}; not listed: all do

    def takes(self, key: str) -> bool:
        """Whether the section's `name` takes a parameter; if not it is passed over, so `name` can change alone."""
        return key not in self.takers or getattr(self, "name", None) in self.takers[key]


class DataParams(Section):
    """Where images come from and how they are split; all counts are images."""

    source: Annotated[str, one_of("source", SOURCES)] = parameter("digits", " | ".join(SOURCES))
    root: Location = parameter(
        "data/raw/digits", "folder of the source's files; a path in this repository or an absolute one"
    )
    seed: Seed = parameter(0, "of the splits")
    image_size: ImageSize = parameter(8, "pixels; images are resized to a square of this side")
    resize: Literal["squash", "crop"] = parameter("squash", "squash | crop: what happens to images that are not square")
    levels: Levels = parameter(
        "auto", "auto (what the files say) | grey levels of images of more than 8 bits, e.g. 4096; the last is white"
    )
    store: Literal["arrays", "shards"] = parameter(
        "arrays", "arrays | shards: how prepare keeps them; shards for more images than the memory holds"
    )
    encoding: Literal["png", "jpeg"] = parameter("png", "of shards: png (no loss) | jpeg (quality 95)")
    labelled: Positive | None = parameter(20, "images with labels, validation not counted; empty: all")
    validation: Annotated[int, Field(ge=0)] | None = parameter(
        0, "images cut from the labelled source, to choose checkpoints; 0: none; empty: the folder's val/"
    )
    unlabelled: Positive | None = parameter(None, "at most so many unlabelled images; empty: all")
    unlabelled_from: Location = parameter(
        AUTO,
        f"""\
{AUTO}: the source's own unlabelled split where it has one, else the images held back
{HELD_BACK}: the training images that are neither labelled nor validation
{OWN_SPLIT}: the source's own unlabelled split (svhn: extra, folder: unlabelled/)
{LABELLED_POOL}: the labelled images themselves (a control: no further images)
{PHOTOGRAPHS}: patches of two photographs, out of the domain of the digits
or the path of any folder of images
or of a text file with paths and URLs of .tar files and images, one a line: docs/data.md""",
    )
    test: Positive | None = parameter(
        500, "test images: cut off a source that has no test split, at most so many of others; empty: all"
    )
    sha256: Sha256 | dict[str, Sha256] | None = parameter(
        None, "of the source's archive, or of its files {name: sha256}; empty: the official ones"
    )

    @model_validator(mode="after")
    def _check(self):
        for pool in POOLS:
            if self.unlabelled_from != pool and os.path.normpath(self.unlabelled_from) == pool:
                raise ValueError(f"data.unlabelled_from: write it as {pool} (found {self.unlabelled_from!r})")
        for name in ("root", "unlabelled_from"):
            refuse_generated(f"data.{name}", getattr(self, name))
        return self


class ModelParams(Section):
    """The name of a network, a file of `models/networks/`, and values for it, which `models.networks` checks.

    What other networks take stands here too: then `dvc exp run -S` finds it, and `name` alone changes the network.
    """

    model_config = ConfigDict(extra="allow")
    partial = True
    name: Annotated[str, one_of("network", NETWORKS)]


class OptimizerParams(Section):
    """`weight_decay` is decoupled: per step, times the learning rate. rmsprop's values are EfficientNet's."""

    partial = True
    takers = {"momentum": ("sgd", "rmsprop"), "rho": ("rmsprop",), "epsilon": ("rmsprop",)}
    rates: ClassVar[dict[str, float]] = {"sgd": 0.1, "adam": 0.001, "rmsprop": 0.01}  # where none is given
    name: Literal["sgd", "adam", "rmsprop"] = Field(
        description="sgd (Nesterov) | adam (with weight_decay: AdamW) | rmsprop"
    )
    learning_rate: AboveZero | None = parameter(
        None, "empty: " + ", ".join(f"{rate} ({name})" for name, rate in rates.items())
    )
    momentum: Fraction = parameter(0.9, "sgd and rmsprop")
    weight_decay: NotNegative = parameter(0.0, "decoupled; biases and normalisation are spared")
    rho: Fraction = parameter(0.9, "rmsprop only")  # the decay of its mean square
    epsilon: AboveZero = parameter(1e-3, "rmsprop only")

    @property
    def rate(self) -> float:
        """The learning rate, by the optimizer's name where none is given."""
        return self.rates[self.name] if self.learning_rate is None else self.learning_rate


class ScheduleParams(Section):
    """How the learning rate changes; in the warm-up it rises from 0, on a plateau it is multiplied by 0.1."""

    partial = True
    takers = {
        **dict.fromkeys(("decay_rate", "decay_every"), ("exponential",)),
        **dict.fromkeys(("plateau_from_epoch", "plateau_patience", "stop_patience"), ("constant",)),
    }
    name: Literal["constant", "cosine", "linear", "exponential"] = Field(
        description="constant | cosine | linear (towards 0) | exponential (in stairs)"
    )
    warmup: Fraction = parameter(0.0, "share of the steps")
    decay_rate: Share = parameter(0.97, "exponential: factor ...")
    # EfficientNet's: every 2.4 of 350 epochs
    decay_every: Share = parameter(0.00685714, "... after every such share of the steps")
    plateau_from_epoch: Positive | None = parameter(
        None, "constant: from this epoch on reduce the rate and stop early, by validation loss"
    )
    plateau_patience: Positive = parameter(3, "epochs")
    stop_patience: Positive = parameter(10, "epochs")

    @model_validator(mode="after")
    def _check(self):
        if self.plateau is not None and self.warmup:
            raise ValueError("plateau_from_epoch needs warmup: 0")
        return self

    @property
    def plateau(self) -> int | None:
        """`plateau_from_epoch`, if the schedule takes it."""
        return self.plateau_from_epoch if self.takes("plateau_from_epoch") else None


class FinetuneParams(Section):
    """What follows a training: a network is best used at a higher resolution than that of its training, after such
    a correction (Touvron et al. 2019, arXiv:1906.06423). Noisy Student does so for 1.5 epochs (section 3.1).

    Dropout and, in blocks that learn, stochastic depth go on in any case; there is no moving average.
    """

    epochs: NotNegative = parameter(0.0, "passes over them, fractions allowed; 0: off")
    image_size: ImageSize | None = parameter(None, "pixels; empty: that of the training")
    augment: bool = parameter(False, "whether the input noise of the training goes on")
    freeze_blocks: Annotated[int, Field(ge=0)] | None = parameter(
        None, "the stem and so many blocks stay as they are; empty: all learn"
    )
    batch_size: Positive = 64
    learning_rate: AboveZero | None = parameter(
        None, "falls to 0 along half a cosine; empty: a tenth of the training's"
    )


class ProgressiveParams(Section):
    """Smaller images at first, which cost less: they grow to the training's size (Tan and Le 2021, arXiv:2104.00298,
    section 4.2; here the noise stays as strong as it is). Every size lasts whole rounds between validations, which are
    at the full size.
    """

    image_size: ImageSize | None = parameter(None, "pixels of the first steps; empty: all steps at the full size")
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = parameter(0.5, "of the steps, in which images are smaller")
    sizes: Positive = parameter(2, "smaller sizes, evenly spaced, each as long")


class TrainingParams(Section):
    """One training; the defaults are the teacher's. With `ema` the moving average is what is validated and saved.

    Whatever is measured every `validate_every` steps, `select_by: last` keeps the last weights, and needs no images.
    """

    model: ModelParams = ModelParams.model_validate({"name": "resnet", "depth": 8, "width": 16})
    image_size: ImageSize | None = parameter(
        None, "pixels to which this training resizes the images; empty: data.image_size"
    )
    progressive: ProgressiveParams = parameter(ProgressiveParams(), "training on images that grow")
    noise: bool = parameter(False, "true: trained with the section noise")
    epochs: Positive | None = parameter(None, "passes over the data, or ...")
    steps: Positive | None = parameter(800, "... batches; one of the two is empty")
    validate_every: Positive | None = parameter(50, "steps; empty, with epochs: after every epoch")
    select_by: Literal["loss", "accuracy", "last"] = parameter(
        "last", "loss | accuracy: the best checkpoint, on validation images | last: the weights at the end"
    )
    batch_size: Positive = 64
    optimizer: OptimizerParams = OptimizerParams(name="sgd", weight_decay=0.005)
    schedule: ScheduleParams = ScheduleParams(name="cosine", warmup=0.1)
    label_smoothing: Fraction = parameter(0.0, "of labels and hard pseudo-labels, never of soft ones")
    ema: Fraction = parameter(0.0, "decay of the weights' moving average; 0: off")
    freeze_blocks: Annotated[int, Field(ge=0)] | None = parameter(
        None, "with weights to start from: the stem and so many blocks keep them; empty: all learn"
    )
    body_rate: Share = parameter(1.0, "the learning rate of all but the last layer, as a share of the last layer's")
    finetune: FinetuneParams = parameter(
        FinetuneParams(), "afterwards, on the labelled images, as a rule at a higher resolution"
    )

    @model_validator(mode="after")
    def _check_length(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give exactly one of epochs and steps, and leave the other {empty('...')}")
        plateau, every = self.schedule.plateau, self.validate_every
        if plateau is not None and self.epochs is None:
            raise ValueError("schedule.plateau_from_epoch needs epochs, not steps")
        if plateau is not None and self.epochs is not None and plateau > self.epochs:
            raise ValueError(f"schedule.plateau_from_epoch={plateau} lies after epochs={self.epochs}")
        if (every is None) != (self.steps is None) or (every and self.steps and self.steps % every):
            raise ValueError(
                f"validate_every={every or 'empty'} goes with steps={self.steps or 'empty'} and must divide it; with "
                f"epochs leave it {empty('...validate_every')}: every epoch is validated"
            )
        return self

    @model_validator(mode="after")
    def _check_progressive(self):
        growing = self.progressive
        if growing.image_size is None:
            return self
        rounds = self.steps // self.validate_every if self.steps and self.validate_every else self.epochs or 0
        ends = self.ends_of_sizes(rounds)
        if len({0, *ends, rounds}) != len(ends) + 2:
            what = "epochs" if self.steps is None else "stretches between validations (validate_every)"
            raise ValueError(
                f"progressive: sizes={growing.sizes} within share={growing.share:g} of {rounds} {what}: every size, "
                "the full one too, needs at least one. Give more of them, fewer sizes or another share"
            )
        return self

    def ends_of_sizes(self, rounds: int) -> list[int]:
        """How many of so many rounds are done when each of the smaller sizes ends."""
        share, sizes = self.progressive.share, self.progressive.sizes
        return [round(share * rounds * place / sizes) for place in range(1, sizes + 1)]


def _check_freezing(training, section, init):
    if training.freeze_blocks is not None and training.init == "random":
        raise ValueError(
            f"{section}.freeze_blocks={training.freeze_blocks} would keep random weights as they are; set "
            f"{section}.init: {init}, or leave {section}.freeze_blocks {empty(f'{section}.freeze_blocks')}"
        )


class TeacherParams(TrainingParams):
    """The teacher's training; `init: pretrained` is described in `noisy_student.pretrained`."""

    init: Literal["random", "pretrained"] = parameter(
        "random", "random | pretrained: the weights that the teacher starts from"
    )
    weights: Location = parameter(
        WEIGHTS, "init: pretrained: a .h5, .keras or .safetensors file, or a folder with one of them in it"
    )

    @model_validator(mode="after")
    def _check_init(self):
        refuse_generated("teacher.weights", self.weights, mend=f"Copy the file of weights into {WEIGHTS}")
        _check_freezing(self, "teacher", "pretrained")
        return self


class StudentParams(TrainingParams):
    """A student's training: `mix` says how labelled and pseudo-labelled images are joined.

    "concat" shuffles both sets together; "pseudo" with `finetune` is pretraining, then fine-tuning (the paper's
    alternative to joint training); "none" is the control that shows what noise alone does.
    """

    noise: bool = True
    steps: Positive | None = 1600
    validate_every: Positive | None = 100
    batch_size: Positive = parameter(32, "labelled images a step (mix: concat: all images a step)")
    ema: Fraction = 0.99
    mix: Literal["ratio", "concat", "pseudo", "none"] = parameter(
        "ratio", "ratio | concat (the article) | pseudo (no labels: finetune follows) | none (no pseudo-labels)"
    )
    unlabelled_ratio: Annotated[float, Field(gt=0.0, le=64.0)] = parameter(
        3.0, "mix: ratio: pseudo-labelled images a step for one labelled image"
    )
    unlabelled_weight: AboveZero = parameter(1.0, "mix: ratio: loss = mean(labelled) + this * mean(pseudo-labelled)")
    init: Literal["random", "teacher"] = parameter(
        "random", "random | teacher: the weights that the student starts from"
    )

    @model_validator(mode="after")
    def _check_init(self):
        _check_freezing(self, "student", "teacher")
        return self

    @property
    def uses_pseudo_labels(self) -> bool:
        """Whether the student learns from any."""
        return self.mix != "none"

    @property
    def unlabelled_batch_size(self) -> int:
        """Pseudo-labelled images a step in the "ratio" mix."""
        return max(1, round(self.batch_size * self.unlabelled_ratio))


class RandAugmentParams(Section):
    """RandAugment (Cubuk et al. 2019, arXiv:1909.13719)."""

    ops: Annotated[int, Field(ge=0, le=10)] = parameter(2, "N, operations an image; 0: off")
    magnitude: Annotated[int, Field(ge=0)] = parameter(10, "M, their strength ...")
    levels: Positive = parameter(10, "... out of this")
    table: Literal["article", "standard"] = parameter("standard", "standard (Cubuk et al. 2019) | article")
    magnitude_sampling: Literal["fixed", "uniform"] = parameter(
        "fixed", "fixed | uniform: an index below M for each op, as in the article"
    )
    fill: Annotated[int, Field(ge=0, le=255)] = parameter(128, "grey level of what comes in at the borders")

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
    """See `models.stochastic_depth`."""

    survival_probability: Share = parameter(0.8, "of the last block; falls linearly from 1; 1: off")
    coin: Literal["batch", "sample"] = parameter("batch", "batch | sample: which images share a coin")


class NoiseParams(Section):
    """The noise of a student (and of a teacher with `teacher.noise`)."""

    randaugment: RandAugmentParams = RandAugmentParams()
    dropout: Fraction = parameter(0.5, "before the last layer")
    stochastic_depth: StochasticDepthParams = StochasticDepthParams()


class AugmentationParams(Section):
    """Plain augmentation, beside the noise."""

    flip: bool = parameter(False, "left to right")
    crop: Annotated[int, Field(ge=0, le=64)] = parameter(0, "pixels of padding before a random crop")
    resized_crop: Share = parameter(
        1.0, "smallest share of the area that a random crop, resized, shows, e.g. 0.08 (ImageNet); 1: off"
    )


class PseudoLabelParams(Section):
    """How the teacher labels, and which labels are kept."""

    threshold: Fraction = parameter(0.75, "keep images whose highest probability is greater")
    max_confidence: Share = parameter(1.0, "... and at most this; 1: no bound")
    kind: Literal["soft", "hard"] = parameter("soft", "soft | hard")
    batch_size: PredictionBatchSize = parameter(
        "auto", "images a step of labelling; auto: by network, image size and device"
    )
    keep: Kept = parameter(
        "all", "all | a number: so many of the most probable classes of an image, the rest shared equally (less disk)"
    )
    shard_images: Positive = parameter(131_072, "images a file of labels, rounded up to whole batches")
    threads: Positive | None = parameter(
        None, "processors that a worker of the executor uses; empty: all of its machine (rounding may depend on it)"
    )
    reassign: bool = parameter(
        False, "true: label anew only what the teacher has learned from, as it was chosen for it: docs/scale.md"
    )
    noise: bool = parameter(False, "true: the teacher is noised while it labels (the paper's ablation)")
    test_time_augmentation: Literal["none", "flip"] = parameter(
        "none", "none | flip: the mean of what the teacher says of an image and of its mirror image"
    )

    @property
    def bounds(self) -> dict[str, float]:
        """The filter that acts: `threshold` and `max_confidence`; none where all that is labelled is learned from."""
        if self.reassign:
            return {"threshold": 0.0, "max_confidence": 1.0}
        return {"threshold": self.threshold, "max_confidence": self.max_confidence}

    @model_validator(mode="after")
    def _check(self):
        if self.max_confidence <= self.threshold:
            raise ValueError(f"max_confidence={self.max_confidence} leaves nothing above threshold={self.threshold}")
        return self


class BalanceParams(Section):
    """How many pseudo-labelled images every class has."""

    enabled: bool = True
    rule: str = parameter(
        "equal", "a rule of pseudo_labels/balancing.py; equal: the same number of images for every class"
    )
    per_class: Annotated[int, Field(ge=1, le=10_000_000)] | None = parameter(
        None, "images a class; empty: as many as the largest class has"
    )
    on_empty: Literal["error", "skip"] = parameter("skip", "error | skip: a class without any confident image")


class EvalParams(Section):
    """What is measured of the models. That none was trained on images of `extra_tests` is for the user to see to."""

    batch_size: PredictionBatchSize = parameter("auto", "images a step")
    robustness: Literal["off", "fast", "full"] = parameter(
        "fast", "corruptions, perturbations, attacks, calibration: off | fast (a sample of the test images) | full"
    )
    extra_tests: dict[str, Location] = parameter(
        {}, "other labelled images, name: folder of classes, or of a pair of .npy files"
    )

    @field_validator("extra_tests")
    @classmethod
    def _check_names(cls, extra_tests):
        for key, path in extra_tests.items():
            check_name(key)
            refuse_generated(f"eval.extra_tests.{key}", path)
        return extra_tests


class CheckpointParams(Section):
    """When stages that take long save what they have done."""

    every_minutes: NotNegative = parameter(
        5.0, "longest work between two; also at the end of epochs, if that is cheap; 0: all the time"
    )
