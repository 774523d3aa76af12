"""The teacher labels the unlabelled pool (paper, algorithm 1, step 2)."""

from noisy_student import backends
from noisy_student.data.arrays import damaged_shards, left_out
from noisy_student.inference.predict import predict_probs
from noisy_student.inference.saving import load
from noisy_student.models.build import build, model_noise, reseeder, transfer_weights
from noisy_student.models.checks import network_faults
from noisy_student.noise.pipeline import input_noise
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.files import array_writer
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.settings.params import refuse


def pseudo_label(params, generation, images, path, *, classes=None, inputs=()):
    """Write the distributions of one generation's teacher over the pool.

    The teacher is not noised, unless `pseudolabel.noise` asks for the paper's ablation (section 4.1,
    table 6): then the input is noised, an image's draw depending on its row only, and dropout and
    stochastic depth are on, which are drawn by the batch; batch normalisation uses its moving statistics
    in either case. A labelling that was stopped goes on at the row that was saved last.

    Args:
        params: Params.
        generation: a key of `params.generations`.
        images: (N, H, W, 3) uint8, may be memory-mapped: one batch at a time is in memory.
        path: `.npy` file to write, (N, K) float32, rows sum to 1. It appears when it is complete.
        classes: how many the teacher must tell apart; None: any number.
        inputs: the files that `images` were read from.

    Returns:
        dict for the record of the run: images, the row that it went on from, devices.

    Raises:
        UserError: the teacher is missing, gives NaN or takes images of another size, or the pool is empty.
        Stopped: Ctrl-C or SIGTERM; the rows done were saved.
    """
    refuse(network_faults(params))
    settings = params.generation(generation)
    backends.current().make_deterministic()
    teacher = layout.model(settings.teacher)
    model, noise = load(teacher, classes=classes), None
    devices = backends.current().describe_devices()
    without = left_out(images)
    used = params.model_dump(include={"seed", "backend"}) | {"damaged": damaged_shards(images)}
    used |= {"generation": generation, "pseudolabel": settings.pseudolabel.model_dump(), "devices": devices}
    if settings.pseudolabel.noise:
        training, own_noise = params.training_of(settings.teacher)
        used |= params.model_dump(include={"augmentation"}) | {"noise": own_noise.model_dump()}
        used |= {"model": training.model.model_dump()}
        model, noise = _noised(params, generation, model)
    with (
        checkpoints.opened(
            f"pseudolabel@{generation}",
            checkpoints.digest(used, [teacher, *inputs]),
            every_minutes=params.checkpoint.every_minutes,
            keep=None,
        ) as kept,
        array_writer(path, shape=(len(images), model.output_shape[-1]), dtype="float32") as probs,
    ):
        predict_probs(
            model,
            images,
            batch_size=settings.pseudolabel.batch_size,
            name=f"pseudolabel {generation}",
            noise=noise,
            out=probs,
            kept=kept,
        )
        probs[without] = 1 / probs.shape[1]  # nothing is known of them
    return {"images": len(images), "resumed_from_row": kept.resumed_from, "devices": devices}


def _noised(params, generation, teacher):
    """The teacher with noise in the network, and the noise of its input as `predict_probs` wants it."""
    seed = derive_seed(params.seed, "pseudolabel", generation)
    training, own_noise = params.training_of(params.generation(generation).teacher)
    noised = build(
        training.model,
        mode="noised",
        classes=teacher.output_shape[-1],
        image_size=teacher.input_shape[1],
        seed=seed,
        **model_noise(own_noise),
    )
    transfer_weights(teacher, noised)
    noise = input_noise(params.with_noise(own_noise), noised=True)
    input_seed, reseed = derive_seed(seed, "input"), reseeder(noised)

    def on_batch(images, rows):
        reseed(rows[0])  # a batch's draws depend on where it starts, not on the batches before it
        return noise(images, image_keys(input_seed, 0, rows))

    return noised, on_batch
