"""The teacher labels the unlabelled pool (paper, algorithm 1, step 2)."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from noisy_student import backends
from noisy_student.data.inputs import Inputs
from noisy_student.data.probs import ROWS, labels_writer, replace_shards, shard_name
from noisy_student.data.views import Images, Some, Stretch
from noisy_student.executors import settings as configuration
from noisy_student.executors.running import in_this_process, run
from noisy_student.executors.tasks import Call, Task, Work
from noisy_student.inference.predict import fitting, predict_probs, steps_of
from noisy_student.inference.saving import load
from noisy_student.models.build import build, model_noise, reseeder, transfer_weights
from noisy_student.models.checks import network_faults
from noisy_student.noise.pipeline import input_noise
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.files import write_array
from noisy_student.runtime.layout import Model
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.signals import Stopped, deferred
from noisy_student.runtime.types import Pixels, Rows, Tensor
from noisy_student.settings.params import GenerationParams, Params, check, refuse


def label_pool(params: Params, generation: str) -> dict:
    """Write the distributions of one generation's teacher over the pool; return what the record of the run has of it.

    The teacher is not noised, unless `pseudolabel.noise` asks for the paper's ablation (section 4.1,
    table 6): then the input is noised, an image's draw depending on its row only, and dropout and
    stochastic depth are on, which are drawn by the batch; batch normalisation uses its moving statistics
    in either case. With `pseudolabel.test_time_augmentation` the image, noised or not, is seen a second time as its
    mirror image, and the mean is written.

    The executor of this machine labels the pool by shards of whole batches, so that each batch is what it would be
    without shards. With `pseudolabel.reassign` the pool is that which the teacher has learned from, each image once.
    A labelling that was stopped goes on: shards that are whole stay, and in others the saved rows.

    Raises:
        UserError: an input is missing or damaged, the teacher gives NaN, the pool is empty, or a shard failed.
        Stopped: Ctrl-C or SIGTERM; the rows done were saved.
    """
    refuse(network_faults(params))
    executor = configuration.load()
    chosen, inputs = params.generation(generation), Inputs()
    own, title = chosen.pseudolabel, f"pseudolabel {generation}"
    pool, rows = _to_label(inputs, chosen)
    _check_kept(own.keep, len(inputs.classes))
    backends.current().make_deterministic()
    inputs.file(Model.named(chosen.teacher).path)
    labeller = Labeller(params, generation, class_names=inputs.classes)
    fitting(labeller.model, pool, name=title)  # refuses an empty pool
    devices, stage = backends.current().describe_devices(), f"pseudolabel@{generation}"
    digest = checkpoints.digest(stage, {**labeller.used, "devices": devices}, inputs.files)
    _labellers[digest] = labeller  # for the shards that are labelled in this process
    with checkpoints.opened(stage, digest, every_minutes=params.checkpoint.every_minutes, keep=None) as kept:
        batch = steps_of(labeller.model, own.batch_size)
        ranges = shard_ranges(len(pool), images=own.shard_images, batch=batch)
        tasks = [
            Task(shard_name(n), kept.folder / f"{shard_name(n)}.npy", end - first, {"first": first, "end": end})
            for n, (first, end) in enumerate(ranges)
        ]
        shared: dict[str, Any] = {"params": params.model_dump(mode="json"), "generation": generation, "digest": digest}
        shared |= {"batch_size": batch, "folder": os.fspath(kept.folder)}
        shared |= {"shown": len(ranges) == 1 and in_this_process(executor, own.threads)}
        select = Call("noisy_student.backends:select", {"name": params.backend, "arithmetic": params.arithmetic})
        before = sum(task.size for task in tasks if task.output.exists())
        report = run(Work(Call(LABEL, shared), start=select, threads=own.threads), tasks, executor, title=title)
        replace_shards(layout.pseudo_labels(generation), [task.output for task in tasks])
        if rows is not None:
            write_array(layout.pseudo_labels(generation) / ROWS, rows)
    resumed = before + report.totals["resumed_from"]
    return {"images": len(pool), "resumed_from_row": resumed, "devices": devices, **report.for_record()}


def _to_label(inputs: Inputs, chosen: GenerationParams) -> tuple[Images, Rows | None]:
    """What a generation's teacher labels, and which rows of the pool these are; None: all."""
    if not chosen.pseudolabel.reassign:
        return inputs.pool, None
    rows = np.unique(inputs.learned_from(chosen.teacher))
    return Some(inputs.pool, rows), rows


def shard_ranges(rows: int, *, images: int, batch: int) -> list[tuple[int, int]]:
    """(first row, row after the last one) of shards of so many images, rounded up to whole batches."""
    size = -(-images // batch) * batch
    return [(first, min(first + size, rows)) for first in range(0, rows, size)]


@contextlib.contextmanager
def label_shard(
    output: Path,
    *,
    params: dict[str, Any],
    generation: str,
    digest: str,
    first: int,
    end: int,
    batch_size: int,
    folder: str,
    shown: bool,
) -> Iterator[dict[str, int]]:
    """Write the distributions over some rows of the pool; what an executor does for each shard.

    It is left when the shard is in its place: only then the saved rows go, and a late signal acts.

    Args:
        digest: of all that the labels depend on: with the same one a worker keeps the model that it has.
        first, end: the first row, and the one after the last.
        folder: of the stage's checkpoints.
        shown: whether this process shows how far it is.

    Raises:
        Stopped: Ctrl-C or SIGTERM; the rows done were saved, or the shard is in its place.
    """
    settings, inputs = check(params), Inputs()
    pool, rows = _to_label(inputs, settings.generation(generation))
    labeller, name = _labeller(digest, settings, generation, inputs.classes), f"pseudolabel {generation}"
    saved = Checkpoints(Path(folder), every_minutes=settings.checkpoint.every_minutes, keep=None).within(
        f"rows-{first}"
    )
    with deferred() as requests:
        with labels_writer(output, images=end - first, classes=len(inputs.classes), keep=labeller.own.keep) as out:
            predict_probs(
                labeller.model,
                Stretch(pool, first, end),
                batch_size=batch_size,
                out=out,
                name=name if shown else f"{name}, images {first:,} to {end - 1:,}",
                noise=labeller.noise_of(np.arange(first, end) if rows is None else rows[first:end]),
                mirrored=labeller.own.test_time_augmentation == "flip",
                checkpoints=saved,
                forward=labeller.forward,
                shown=shown,
            )
        yield {"resumed_from": saved.resumed_from}
        shutil.rmtree(saved.folder, ignore_errors=True)
    if requests.signal is not None:  # it came after the last moment to save, and nobody else has it
        done = f"all {end - first:,} rows are labelled"
        raise Stopped(f"{name}: stopped; {done}. Run the same command again to go on.", requests.signal)


LABEL = f"{__name__}:{label_shard.__name__}"


class Labeller:
    """A generation's teacher as it labels.

    Attributes:
        own: the section of the generation.
        used: the parameters that the labels depend on.
    """

    def __init__(self, params: Params, generation: str, *, class_names: Sequence[str]) -> None:
        chosen = params.generation(generation)
        teacher, self.own = Model.named(chosen.teacher), chosen.pseudolabel
        self.model = load(teacher.path, classes=class_names)
        self._noise: Callable[[Pixels, Rows], Pixels] | None = None
        self.used = params.model_dump(include={"seed", "backend"})
        self.used |= {"generation": generation, "pseudolabel": self.own.model_dump()}
        if self.own.noise:
            training, own_noise = params.training_of(teacher)
            self.used |= params.model_dump(include={"augmentation"}) | {"noise": own_noise.model_dump()}
            self.used |= {"model": training.model.model_dump()}
            seed = derive_seed(params.seed, "pseudolabel", generation)
            self.model, self._noise = _noised(self.model, training.model, params.with_noise(own_noise), seed)

    @cached_property
    def forward(self) -> Callable[[Pixels], Tensor]:
        """The model, compiled once for all shards of a process."""
        return backends.current().forward(self.model)

    def noise_of(self, rows: Rows) -> Callable[[Pixels, Rows], Pixels] | None:
        """What is done to the images of a shard, which has these rows of the pool, by their places in it."""
        noise = self._noise
        return None if noise is None else lambda images, places: noise(images, rows[places])


_labellers: dict[str, Labeller] = {}  # of this process, by digest; the newest alone


def _labeller(digest, params, generation, class_names):
    if digest not in _labellers:
        backends.current().make_deterministic()
        _labellers.clear()
        _labellers[digest] = Labeller(params, generation, class_names=class_names)
    return _labellers[digest]


def _check_kept(keep, classes):
    if keep != "all" and keep >= classes:
        raise ParamsError(f"pseudolabel.keep={keep}, but there are {classes} classes: give a lower number, or all.")


def _noised(teacher, own, params, seed):
    """The teacher with noise in the network, and the noise of its input as `predict_probs` wants it."""
    sizes = {"classes": teacher.output_shape[-1], "image_size": teacher.input_shape[1]}
    noised = build(own, mode="noised", seed=seed, **sizes, **model_noise(params.noise))
    transfer_weights(teacher, noised)
    noise = input_noise(params, noised=True)
    input_seed, reseed = derive_seed(seed, "input"), reseeder(noised)

    def on_batch(images, rows):
        reseed(rows[0])  # a batch's draws depend on where it starts, not on the batches before it
        return noise(images, image_keys(input_seed, 0, rows))

    return noised, on_batch
