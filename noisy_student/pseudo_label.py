"""The teacher labels the unlabelled pool (paper, algorithm 1, step 2)."""

from noisy_student import backends, layout
from noisy_student.models.build import build, model_noise, transfer_weights
from noisy_student.models.saving import load
from noisy_student.noise.pipeline import input_noise
from noisy_student.predict import predict_probs
from noisy_student.seeds import derive_seed, generator


def pseudo_label(params, generation, images):
    """Distributions of one generation's teacher over the pool.

    The teacher is not noised, unless `pseudolabel.noise` asks for the paper's ablation (section 4.1,
    table 6): then the input is noised, and dropout and stochastic depth are on; batch normalisation
    uses its moving statistics in either case.

    Args:
        params: Params.
        generation: a key of `params.generations`.
        images: (N, H, W, 3) uint8, may be memory-mapped.

    Returns:
        (N, K) float32, rows sum to 1.
    """
    settings = params.generation(generation)
    teacher = load(layout.model(settings.teacher))
    name = f"pseudolabel {generation}"
    size = settings.pseudolabel.batch_size
    backends.current().make_deterministic()
    if not settings.pseudolabel.noise:
        return predict_probs(teacher, images, batch_size=size, name=name)
    seed = derive_seed(params.seed, "pseudolabel", generation)
    noised = build(
        _trained_as(params, settings.teacher).model,
        mode="noised",
        classes=teacher.output_shape[-1],
        image_size=params.data.image_size,
        seed=seed,
        **model_noise(params.noise),
    )
    transfer_weights(teacher, noised)
    noise = input_noise(params, noised=True)
    return predict_probs(
        noised, images, batch_size=size, name=name, noise=noise, rng=generator(seed, "input")
    )


def _trained_as(params, name):
    if name == layout.TEACHER:
        return params.teacher
    return params.generation(name.removeprefix("student-")).student
