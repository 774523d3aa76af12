"""The teacher labels the unlabelled pool (paper, algorithm 1, step 2)."""

import os
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from noisy_student import backends
from noisy_student.data.arrays import open_images
from noisy_student.data.inputs import Inputs
from noisy_student.data.probs import TopKWriter, replace_shards, shard_name, top_k_dtype
from noisy_student.data.views import Stretch
from noisy_student.executors import settings as configuration
from noisy_student.executors.running import in_this_process, run
from noisy_student.executors.tasks import Task
from noisy_student.inference.predict import fitting, predict_probs, steps_of
from noisy_student.inference.saving import load
from noisy_student.models.build import build, model_noise, reseeder, transfer_weights
from noisy_student.models.checks import network_faults
from noisy_student.noise.pipeline import input_noise
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.files import array_writer
from noisy_student.runtime.layout import Model
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.types import Pixels, Rows, Tensor
from noisy_student.settings.params import Params, check, refuse


def label_pool(params: Params, generation: str) -> dict:
    """Write the distributions of one generation's teacher over the pool; return what the record of the run has of it.

    The teacher is not noised, unless `pseudolabel.noise` asks for the paper's ablation (section 4.1,
    table 6): then the input is noised, an image's draw depending on its row only, and dropout and
    stochastic depth are on, which are drawn by the batch; batch normalisation uses its moving statistics
    in either case. With `pseudolabel.test_time_augmentation` the image, noised or not, is seen a second time as its
    mirror image, and the mean is written.

    The executor of this machine labels the pool by shards of whole batches, so that each batch is what it would be
    without shards. A labelling that was stopped goes on: shards that are whole stay, and in others the saved rows.

    Raises:
        UserError: an input is missing or damaged, the teacher gives NaN, the pool is empty, or a shard failed.
        Stopped: Ctrl-C or SIGTERM; the rows done were saved.
    """
    refuse(network_faults(params))
    executor = configuration.load()
    chosen, inputs = params.generation(generation), Inputs()
    own, classes, pool = chosen.pseudolabel, len(inputs.classes), inputs.pool
    _check_kept(own.keep, classes)
    backends.current().make_deterministic()
    inputs.file(Model.named(chosen.teacher).path)
    labeller = Labeller(params, generation, classes=classes)
    fitting(labeller.model, pool, name=f"pseudolabel {generation}")  # refuses an empty pool
    devices, stage = backends.current().describe_devices(), f"pseudolabel@{generation}"
    digest = checkpoints.digest(stage, {**labeller.used, "devices": devices}, inputs.files)
    _made[:] = [(digest, labeller)]  # for the shards that are labelled in this process
    with checkpoints.opened(stage, digest, every_minutes=params.checkpoint.every_minutes, keep=None) as kept:
        batch = steps_of(labeller.model, own.batch_size)
        ranges = shard_ranges(len(pool), images=own.shard_images, batch=batch)
        alone = len(ranges) == 1 and in_this_process(executor, own.threads)
        common = {"params": params.model_dump(mode="json"), "generation": generation, "classes": classes}
        common |= {"digest": digest, "batch_size": batch, "shown": alone, "checkpoint": os.fspath(kept.folder)}
        tasks = [
            Task(
                shard_name(number),
                kept.folder / f"{shard_name(number)}.npy",
                end - first,
                common | {"first": first, "end": end},
            )
            for number, (first, end) in enumerate(ranges)
        ]
        start = ("noisy_student.backends:select", {"name": params.backend, "arithmetic": params.arithmetic})
        before = sum(task.size for task in tasks if task.output.exists())
        report = run(
            LABEL, tasks, title=f"pseudolabel {generation}", start=start, threads=own.threads, settings=executor
        )
        replace_shards(layout.pseudo_labels(generation), [task.output for task in tasks])
    resumed = before + sum(details.get("resumed_from", 0) for details in report.details.values())
    return {"images": len(pool), "resumed_from_row": resumed, "devices": devices, **report.for_record()}


def shard_ranges(rows: int, *, images: int, batch: int) -> list[tuple[int, int]]:
    """(first row, row after the last one) of shards of so many images, rounded up to whole batches."""
    size = -(-images // batch) * batch
    return [(first, min(first + size, rows)) for first in range(0, rows, size)]


def label_shard(
    output: Path,
    *,
    params: dict[str, Any],
    generation: str,
    classes: int,
    digest: str,
    first: int,
    end: int,
    batch_size: int,
    checkpoint: str,
    shown: bool,
) -> dict[str, Any]:
    """Write the distributions over some rows of the pool; what an executor does for each shard.

    Args:
        digest: of all that the labels depend on: with the same one a worker keeps the model that it has.
        checkpoint: folder of the stage's checkpoints.
        shown: whether this process shows how far it is.
    """
    settings = check(params)
    labeller = next((made for known, made in _made if known == digest), None)
    if labeller is None:
        backends.current().make_deterministic()
        labeller = Labeller(settings, generation, classes=classes)
        _made[:] = [(digest, labeller)]
    shard, keep = output.name.rpartition("shard-")[2].partition(".")[0], labeller.own.keep
    rows = Checkpoints(Path(checkpoint), every_minutes=settings.checkpoint.every_minutes, keep=None).within(
        f"rows-{shard}"
    )
    shape = (end - first, classes) if keep == "all" else (end - first,)
    dtype = np.dtype(np.float32) if keep == "all" else top_k_dtype(int(keep), classes)
    with array_writer(output, shape=shape, dtype=dtype) as array:
        out: Any = array if keep == "all" else TopKWriter(array, int(keep))
        predict_probs(
            labeller.model,
            Stretch(open_images(layout.UNLABELLED), first, end),
            batch_size=batch_size,
            out=out,
            name=f"pseudolabel {generation}" if shown else f"pseudolabel {generation}, shard {shard}",
            noise=labeller.noise_from(first),
            mirrored=labeller.own.test_time_augmentation == "flip",
            checkpoints=rows,
            forward=labeller.forward,
            shown=shown,
        )
    shutil.rmtree(rows.folder, ignore_errors=True)
    return {"resumed_from": rows.resumed_from}


LABEL = f"{__name__}:{label_shard.__name__}"
_made: list[tuple[str, "Labeller"]] = []  # the newest one of this process, with its digest


class Labeller:
    """A generation's teacher as it labels.

    Attributes:
        used: the parameters that the labels depend on.
    """

    def __init__(self, params: Params, generation: str, *, classes: int) -> None:
        chosen = params.generation(generation)
        teacher, self.own = Model.named(chosen.teacher), chosen.pseudolabel
        self.model = load(teacher.path, classes=classes)
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

    def noise_from(self, first: int) -> Callable[[Pixels, Rows], Pixels] | None:
        """What is done to images by their rows of the pool, where a shard counts its own from 0."""
        noise = self._noise
        return None if noise is None else lambda images, rows: noise(images, rows + first)


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
