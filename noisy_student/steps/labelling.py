"""The teacher labels the unlabelled pool (paper, algorithm 1, step 2)."""

from noisy_student import backends
from noisy_student.data.inputs import Inputs
from noisy_student.inference.predict import predict_probs
from noisy_student.inference.saving import load
from noisy_student.models.build import build, model_noise, reseeder, transfer_weights
from noisy_student.models.checks import network_faults
from noisy_student.noise.pipeline import input_noise
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.files import array_writer
from noisy_student.runtime.layout import Model
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.settings.params import Params, refuse


def label_pool(params: Params, generation: str) -> dict:
    """Write the distributions of one generation's teacher over the pool; return what the record of the run has of it.

    The teacher is not noised, unless `pseudolabel.noise` asks for the paper's ablation (section 4.1,
    table 6): then the input is noised, an image's draw depending on its row only, and dropout and
    stochastic depth are on, which are drawn by the batch; batch normalisation uses its moving statistics
    in either case. With `pseudolabel.test_time_augmentation` the image, noised or not, is seen a second time as its
    mirror image, and the mean is written. A labelling that was stopped goes on at the row that was saved last.

    Raises:
        UserError: an input is missing or damaged, the teacher gives NaN, or the pool is empty.
        Stopped: Ctrl-C or SIGTERM; the rows done were saved.
    """
    refuse(network_faults(params))
    chosen, inputs = params.generation(generation), Inputs()
    backends.current().make_deterministic()
    teacher, pool = Model.named(chosen.teacher), inputs.pool
    model, noise = load(inputs.file(teacher.path), classes=inputs.classes), None
    devices = backends.current().describe_devices()
    used = params.model_dump(include={"seed", "backend"})
    used |= {"generation": generation, "pseudolabel": chosen.pseudolabel.model_dump(), "devices": devices}
    if chosen.pseudolabel.noise:
        training, own_noise = params.training_of(teacher)
        used |= params.model_dump(include={"augmentation"}) | {"noise": own_noise.model_dump()}
        used |= {"model": training.model.model_dump()}
        seed = derive_seed(params.seed, "pseudolabel", generation)
        model, noise = _noised(model, training.model, params.with_noise(own_noise), seed)
    stage, shape = f"pseudolabel@{generation}", (len(pool), model.output_shape[-1])
    digest = checkpoints.digest(stage, used, inputs.files)
    batch_size, name = chosen.pseudolabel.batch_size, f"pseudolabel {generation}"
    mirrored = chosen.pseudolabel.test_time_augmentation == "flip"
    with (
        checkpoints.opened(stage, digest, every_minutes=params.checkpoint.every_minutes, keep=None) as shards,
        array_writer(layout.pseudo_labels(generation), shape=shape, dtype="float32") as probs,
    ):
        predict_probs(
            model,
            pool,
            batch_size=batch_size,
            out=probs,
            name=name,
            noise=noise,
            mirrored=mirrored,
            checkpoints=shards,
        )
    return {"images": len(pool), "resumed_from_row": shards.resumed_from, "devices": devices}


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
