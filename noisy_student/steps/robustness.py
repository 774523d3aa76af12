"""What the stages of robustness write for one model."""

from functools import partial
from pathlib import Path

import numpy as np

from noisy_student import backends
from noisy_student.data.inputs import Inputs
from noisy_student.drawing import charts, galleries
from noisy_student.drawing.canvas import save_chart
from noisy_student.inference.saving import load
from noisy_student.robustness import measure, perturbations, report, severities
from noisy_student.robustness.sets import FROST, Generated, corrupted_test_set, sample, sources
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.files import read_array, read_csv, read_json, write_array, write_csv, write_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings.params import Params

FAST_IMAGES, FAST_SEQUENCES, FAST_ATTACKED = 500, 100, 200  # images of `fast`
FAST_SEVERITIES = (1, 3, 5)


def measure_and_write(params: Params, model: Model, threshold: float) -> dict:
    """Measure a model as `eval.robustness` says and write its metrics, tables and pictures.

    Args:
        threshold: of the pseudo-labels that its confidence is compared with.

    Returns:
        dict for the record of the run.

    Raises:
        UserError: an input is missing or damaged.
        Stopped: Ctrl-C or SIGTERM; what was measured was saved.
    """
    return _Measurement(params, model, threshold).run()


class _Measurement:
    def __init__(self, params, model, threshold):
        self.params, self.model, self.name, self.threshold = params, model, model.name, threshold
        self.fast = params.eval.robustness == "fast"
        self.inputs = Inputs()
        self.classes, self.test = self.inputs.classes, self.inputs.test
        most = FAST_IMAGES if self.fast else None
        self.corrupted = corrupted_test_set(params.data, self.test, most=most, classes=len(self.classes))
        self.corrupted.check(severities.ALL)
        self.rows = self._sample(most)
        self.sequence_rows = self._sample(FAST_SEQUENCES if self.fast else None)
        self.attacked_rows = self._sample(FAST_ATTACKED if self.fast else None)
        self.levels = FAST_SEVERITIES if self.fast else severities.SEVERITIES
        self.extra = {
            key: (
                self.inputs.images_and_labels(layout.extra_test(key)),
                read_json(self.inputs.file(layout.extra_test(key) / "present.json")),
            )
            for key in params.eval.extra_tests
        }
        self.teacher = None if model == TEACHER else read_json(TEACHER.robustness)

    def _sample(self, most):
        return sample(np.asarray(self.test.labels), most or len(self.test.labels), seed=self.params.data.seed)

    def run(self):
        backends.current().make_deterministic()
        trained = load(self.inputs.file(self.model.path), classes=len(self.classes))
        subject = measure.Subject(trained, batch_size=self.params.eval.batch_size)
        devices = backends.current().describe_devices()
        used = self.params.model_dump(include={"backend", "eval", "data"}) | {"devices": devices}
        used["published"] = sources(self.params.data)
        with checkpoints.opened(
            self.model.robustness_stage,
            checkpoints.digest(self.model.robustness_stage, used, self.inputs.files),
            every_minutes=self.params.checkpoint.every_minutes,
            keep=None,
        ) as saved:
            results = measure.run(self._units(subject), name=f"robustness {self.name}", kept=saved)
            self._write(results)
        return {
            "images": len(self.corrupted.labels),
            "resumed_from_unit": saved.resumed_from,
            "devices": devices,
        }

    def _units(self, subject):
        """What is measured, in this order."""
        test, seed = self.test, self.params.data.seed
        units = {("clean",): lambda: measure.outcome(subject.probs(test.images), np.asarray(test.labels))}
        for name in severities.ALL:
            for level in self.levels:
                units["corruption", name, level] = partial(measure.corruption, subject, self.corrupted, name, level)
        for name in perturbations.names(test.images.shape[1]):
            units["sequence", name] = partial(
                measure.perturbation, subject, test.images, self.sequence_rows, name, seed=seed
            )
        for kind in ("fgsm", "pgd"):
            for epsilon in severities.EPSILONS:
                units[kind, epsilon] = partial(
                    measure.attack,
                    subject,
                    *(test.images, test.labels, self.attacked_rows),
                    kind,
                    epsilon,
                    seed=seed,
                )
        for key, (images, _) in self.extra.items():
            units["extra", key] = lambda images=images: {"probs": subject.probs(images.images)}
        return units

    def _write(self, results):
        clean = {part: values[self.rows] for part, values in results["clean",].items()}
        rows = report.corruption_rows(
            results,
            self.corrupted.labels,
            clean=clean,
            clean_labels=np.asarray(self.test.labels[self.rows]),
            threshold=self.threshold,
        )
        test_accuracy = float((results["clean",]["predicted"] == self.test.labels).mean())
        figures = {
            "robustness": self.params.eval.robustness,
            "corruptions": self.corrupted.origin,
            "clean_images": "the same" if self.corrupted.paired else "others, of the test split",
            "images": len(self.corrupted.labels),
            "sequences": len(self.sequence_rows),
            "attacked": len(self.attacked_rows),
            **report.summary(
                results,
                rows,
                reference=self.teacher,
                paired=self.corrupted.paired,
                imagenet=len(self.classes) == 1000 and not self.fast,
            ),
        }
        if self.extra:
            figures["extra_tests"] = {
                key: report.extra_test(
                    results["extra", key]["probs"],
                    np.asarray(images.labels),
                    present=present,
                    test_accuracy=test_accuracy,
                )
                for key, (images, present) in self.extra.items()
            }
        self._write_tables(results, rows, figures)
        self._draw(results, rows, figures)
        write_json(self.model.robustness, figures)

    def _write_tables(self, results, rows, figures):
        tables, outcomes = self.model.robustness_tables, self.model.robustness_outcomes
        write_csv(tables / "corruptions.csv", rows)
        write_csv(
            tables / "sequences.csv",
            [
                {"sequence": key[1]} | {part: float(values.mean()) for part, values in found.items()}
                for key, found in results.items()
                if key[0] == "sequence"
            ],
        )
        write_csv(tables / "attacks.csv", _attack_rows(figures))
        for part in ("predicted", "true"):
            stacked = np.stack([results[key][part] for key in self._corruption_keys()])
            write_array(outcomes / f"{part}.npy", stacked)

    def _corruption_keys(self):
        return [("corruption", name, level) for name in severities.ALL for level in self.levels]

    def _draw(self, results, rows, figures):
        plots, tables, attacked = self.model.robustness_plots, {}, []
        if self.teacher is not None:
            tables[TEACHER.name] = read_csv(TEACHER.robustness_tables / "corruptions.csv", text=("corruption",))
            attacked = [{"model": TEACHER.name, **row} for row in _attack_rows(self.teacher)]
        tables[self.name] = rows
        attacked += [{"model": self.name, **row} for row in _attack_rows(figures)]
        save_chart(plots / "error_by_severity.png", charts.error_by_severity(tables, extra=severities.EXTRA))
        save_chart(plots / "errors.png", charts.errors(self.name, rows, extra=severities.EXTRA))
        save_chart(plots / "attacks.png", charts.attacks(attacked))
        if self.teacher is None:
            self._draw_sheets(plots)
            return
        galleries.gained_gallery(
            plots / f"{TEACHER.name}-wrong-{self.name}-right.png",
            self._gained(results),
            first=TEACHER.name,
            second=self.name,
            class_names=self.classes,
        )

    def _draw_sheets(self, plots):
        """What the images look like: the same for all models."""
        shown = self.rows[:: max(1, len(self.rows) // 3)][:3]
        clean, seed = np.asarray(self.test.images[shown]), self.params.data.seed
        made = Generated(self.test, shown, seed=seed, frost=Path(self.params.data.root) / FROST)
        if self.corrupted.origin == "generated":
            shown_keys = [(name, level) for name in severities.ALL for level in FAST_SEVERITIES]
            changed = {key: made.images(*key)[:] for key in shown_keys}
            galleries.contact_sheet(plots / "corruptions.png", clean, changed, each=FAST_SEVERITIES)
        names = perturbations.names(clean.shape[1])
        frames = ((n, list(perturbations.frames(clean[:1], n, rows=np.arange(1), seed=seed))) for n in names)
        galleries.sequence_sheet(plots / "sequences.png", frames)

    def _gained(self, results):
        """Of each corruption and severity the image whose true class gains most from teacher to student."""
        labels, outcomes = self.corrupted.labels, TEACHER.robustness_outcomes
        before = {part: read_array(outcomes / f"{part}.npy") for part in ("predicted", "true")}
        cells, taken = [], set()
        for index, key in enumerate(self._corruption_keys()):
            _, name, level = key
            found, first = results[key], before["predicted"][index]
            if level != self.levels[len(self.levels) // 2] or len(first) != len(labels):
                continue
            gained = np.flatnonzero((first != labels) & (found["predicted"] == labels))
            gain = found["true"][gained] - before["true"][index][gained]
            best = next((row for row in gained[np.argsort(-gain, kind="stable")] if row not in taken), None)
            if best is None:
                continue
            taken.add(best)
            changed = self.corrupted.images(name, level)[best : best + 1][0]
            clean = self.corrupted.clean(best)
            cells.append(
                {
                    **{"corruption": name, "severity": level, "clean": clean, "changed": changed},
                    **{"label": labels[best], "first": first[best], "second": found["predicted"][best]},
                }
            )
        return cells


def _attack_rows(figures):
    """The accuracies under attack as a table."""
    return [
        {"attack": kind, "epsilon": epsilon, "accuracy": figures[f"{kind}_accuracy"][str(epsilon)]}
        for kind in ("fgsm", "pgd")
        for epsilon in severities.EPSILONS
    ]
