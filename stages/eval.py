"""Stage eval: test figures of the teacher and of every generation listed in params.yaml."""

from noisy_student import backends
from noisy_student.data.arrays import open_images, open_labelled, open_probs, open_truth
from noisy_student.noise.pipeline import input_noise
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json, remove, write_json
from noisy_student.settings import params
from stages.entry import run


def main():
    """Evaluate all models of params.yaml on data/test."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.drawing import galleries
    from noisy_student.inference.saving import load
    from noisy_student.steps.evaluation import (
        draw_curves,
        draw_pseudo_labels,
        evaluate_all,
        predict_all,
        write_eval_plots,
    )
    from noisy_student.steps.reported import pseudo_label_quality

    backends.current().make_deterministic()
    for path in layout.unlisted(settings.generations):
        print(f"removing {path}: not a generation of params.yaml any more")
        remove(path)
    names = read_json(layout.CLASSES)
    truth = open_truth(layout.TRUTH, classes=len(names))
    labels = {
        key: open_probs(layout.pseudo_labels(key), images=len(truth), classes=len(names))
        for key in settings.generations
    }
    test = open_labelled(layout.TEST, classes=names)
    students = {key: layout.Model(key).name for key in settings.generations}
    trained = (layout.TEACHER, *map(layout.Model, settings.generations))
    models = {model.name: load(model.path, classes=len(names)) for model in trained}
    predictions = predict_all(models, test, batch_size=settings.eval.batch_size)
    quality = {}
    pool = open_images(layout.UNLABELLED)
    for key, name in students.items():
        generation, probs = settings.generation(key), labels[key]
        bounds = generation.pseudolabel.model_dump(include={"threshold", "max_confidence"})
        draw_pseudo_labels(key, pool, probs, class_names=names, truth=truth, **bounds)
        if generation.student.uses_pseudo_labels:
            quality[name] = pseudo_label_quality(probs, truth, **bounds)
    draw_curves(models)
    galleries.noise_gallery(
        layout.EVAL_PLOTS / "noise.png",
        open_labelled(layout.LABELLED, classes=names).images,
        input_noise(settings, noised=True),
        seed=settings.seed,
    )
    teachers = {name: settings.generation(key).teacher for key, name in students.items()}
    write_eval_plots(predictions, test, class_names=names, teachers=teachers)
    table = evaluate_all(predictions, test.labels, class_names=names, quality=quality)
    write_json(layout.EVAL_METRICS, table)


if __name__ == "__main__":
    run(main)
