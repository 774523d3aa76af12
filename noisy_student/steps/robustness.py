"""What the stages of robustness write for one model."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisy_student import backends
from noisy_student.data.inputs import Inputs
from noisy_student.drawing import charts, galleries
from noisy_student.drawing.canvas import save_chart
from noisy_student.executors import settings as configuration
from noisy_student.executors.running import in_this_process, run
from noisy_student.executors.tasks import Call, Task, Work
from noisy_student.inference.saving import load
from noisy_student.robustness import measure, perturbations, report, severities
from noisy_student.robustness.sets import FROST, Generated, corrupted_test_set, sample, sources
from noisy_student.runtime import checkpoints
from noisy_student.runtime.files import read_array, read_csv, read_json, write_array, write_csv, write_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings.params import Params, check

FAST_IMAGES, FAST_SEQUENCES, FAST_ATTACKED = 500, 100, 200  # images of `fast`
FAST_SEVERITIES = (1, 3, 5)
SUMMARY = "summary.json"


def measure_and_write(params: Params, model: Model, threshold: float) -> dict:
    """Measure a model as `eval.robustness` says, write its metrics, tables and pictures, return the run's record.

    Its confidence is compared with the threshold of pseudo-labels. Stopped by Ctrl-C or SIGTERM, it has saved what was
    measured.
    """
    return _Measurement(params, model, threshold).run()


class _Scope(NamedTuple):
    """How much is measured.

    Attributes:
        counts: of images that are corrupted, that sequences begin with, and that are attacked; None: all.
    """

    counts: Sequence[int | None]
    severities: Sequence[int]
    epsilons: Sequence[float]

    @classmethod
    def of(cls, fast: bool) -> "_Scope":
        if fast:
            return cls((FAST_IMAGES, FAST_SEQUENCES, FAST_ATTACKED), FAST_SEVERITIES, severities.EPSILONS)
        return cls((None, None, None), severities.SEVERITIES, severities.EPSILONS)


class _Measurement:
    def __init__(self, params, model, threshold, scope=None):
        self.params, self.model, self.name, self.threshold = params, model, model.name, threshold
        self.scope = scope or _Scope.of(params.eval.robustness == "fast")
        self.fast = params.eval.robustness == "fast"
        self.inputs = Inputs()
        self.classes, self.test = self.inputs.classes, self.inputs.test
        self.labels = np.asarray(self.test.labels)
        counts = self.scope.counts
        self.corrupted = corrupted_test_set(params.data, self.test, most=counts[0], classes=len(self.classes))
        self.corrupted.check(severities.ALL)
        rows = (sample(self.labels, most, seed=params.data.seed) for most in counts)
        self.rows, self.sequence_rows, self.attacked_rows = rows
        self.levels = self.scope.severities
        self.corruptions = [("corruption", name, level) for name in severities.ALL for level in self.levels]
        self.teacher = None if model == TEACHER else read_json(TEACHER.robustness_tables / SUMMARY)

    def run(self):
        executor = configuration.load()
        subject = self.subject()
        devices = backends.current().describe_devices()
        used = self.params.model_dump(include={"backend": True, "eval": {"batch_size", "robustness"}, "data": True})
        used |= {"devices": devices, "published": sources(self.params.data)}
        stage, often = self.model.robustness_stage, self.params.checkpoint.every_minutes
        digest = checkpoints.digest(stage, used, self.inputs.files)
        with checkpoints.opened(stage, digest, every_minutes=often, keep=None) as saved:
            if in_this_process(executor, None):
                results, record = measure.run(self.units(subject), name=f"robustness {self.name}", kept=saved), {}
            else:
                results, record = self._by(executor, saved.folder, digest, subject)
            self._write(results)
        resumed = record.get("shards_done_before", saved.resumed_from)
        facts = {"images": len(self.corrupted.labels), "resumed_from_unit": resumed, "devices": devices}
        return facts | record

    def _by(self, executor, folder, digest, subject):
        """(outcomes of all units, the record) by an executor, a task a unit; what is there is not done again."""
        keys = list(self.units(subject))
        tasks = [
            Task(" ".join(map(str, key)), folder / f"shard-{number:05d}.npz", 1, {"unit": number})
            for number, key in enumerate(keys)
        ]
        shared = {"params": self.params.model_dump(mode="json"), "generation": self.model.generation}
        shared |= {"digest": digest, "scope": self.scope._asdict()}
        select = {"name": self.params.backend, "arithmetic": self.params.arithmetic}
        work = Work(Call(MEASURE, shared), start=Call("noisy_student.backends:select", select))
        report = run(work, tasks, executor, title=f"robustness {self.name}", unit="step")
        results = {}
        for key, task in zip(keys, tasks, strict=True):
            with np.load(task.output, allow_pickle=False) as content:
                results[key] = {part: content[part] for part in content.files}
        return results, report.for_record()

    def subject(self):
        """The model, ready to be measured."""
        backends.current().make_deterministic()
        trained = load(self.inputs.file(self.model.path), classes=self.classes)
        return measure.Subject(trained, batch_size=self.params.eval.batch_size)

    def units(self, subject):
        """What is measured, in this order."""
        images, seed = self.test.images, self.params.data.seed
        units: dict[tuple, Callable[[], measure.Outcome]] = {
            ("clean",): lambda: measure.outcome(subject.probs(images), self.labels)
        }
        for key in self.corruptions:
            units[key] = partial(measure.corruption, subject, self.corrupted, *key[1:])
        sequence = partial(measure.perturbation, subject, images, self.sequence_rows, seed=seed)
        for name in perturbations.names(images.shape[1]):
            units["sequence", name] = partial(sequence, name)
        attack = partial(measure.attack, subject, images, self.labels, self.attacked_rows, seed=seed)
        for kind, epsilon in product(("fgsm", "pgd"), self.scope.epsilons):
            units[kind, epsilon] = partial(attack, kind, epsilon)
        return units

    def _write(self, results):
        clean = {part: array[self.rows] for part, array in results["clean",].items()}
        rows = report.corruption_rows(
            results,
            self.corrupted.labels,
            clean=clean,
            clean_labels=self.labels[self.rows],
            threshold=self.threshold,
        )
        summary = report.summary(
            results,
            rows,
            reference=self.teacher,
            paired=self.corrupted.paired,
            imagenet=len(self.classes) == 1000 and not self.fast,
        )
        written = {
            "robustness": self.params.eval.robustness,
            "corruptions": self.corrupted.origin,
            "clean_images": "the same" if self.corrupted.paired else "others, of the test split",
            "images": len(self.corrupted.labels),
            "sequences": len(self.sequence_rows),
            "attacked": len(self.attacked_rows),
            **summary,
        }
        self._write_tables(results, rows, written)
        self._draw(results, rows, written)
        write_json(self.model.robustness, report.headline(written))

    def _write_tables(self, results, rows, summary):
        tables = self.model.robustness_tables
        sequences = [
            {"sequence": key[1]} | {part: float(changes.mean()) for part, changes in outcome.items()}
            for key, outcome in results.items()
            if key[0] == "sequence"
        ]
        write_csv(tables / "corruptions.csv", rows)
        write_csv(tables / "sequences.csv", sequences)
        write_csv(tables / "attacks.csv", _attack_rows(summary))
        write_json(tables / SUMMARY, summary)
        for part in ("predicted", "true"):
            stacked = np.stack([results[key][part] for key in self.corruptions])
            write_array(self.model.robustness_outcomes / f"{part}.npy", stacked)

    def _draw(self, results, rows, summary):
        plots, tables, attacked = self.model.robustness_plots, {}, []
        if self.teacher is not None:
            tables[TEACHER.name] = read_csv(TEACHER.robustness_tables / "corruptions.csv", text=("corruption",))
            attacked = [{"model": TEACHER.name, **row} for row in _attack_rows(self.teacher)]
        tables[self.name] = rows
        attacked += [{"model": self.name, **row} for row in _attack_rows(summary)]
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
            changed = {key: made.images(*key)[:] for key in product(severities.ALL, FAST_SEVERITIES)}
            galleries.contact_sheet(plots / "corruptions.png", clean, changed, each=FAST_SEVERITIES)
        names = perturbations.names(clean.shape[1])
        frames = ((n, list(perturbations.frames(clean[:1], n, rows=np.arange(1), seed=seed))) for n in names)
        galleries.sequence_sheet(plots / "sequences.png", frames)

    def _gained(self, results):
        """Of each corruption and severity the image whose true class gains most from teacher to student."""
        labels, outcomes = self.corrupted.labels, TEACHER.robustness_outcomes
        before = {part: read_array(outcomes / f"{part}.npy") for part in ("predicted", "true")}
        cells, taken = [], set()
        for key, first, first_true in zip(self.corruptions, before["predicted"], before["true"], strict=True):
            _, name, level = key
            if level != self.levels[len(self.levels) // 2] or len(first) != len(labels):
                continue
            second = results[key]["predicted"]
            gained = np.flatnonzero((first != labels) & (second == labels))
            gain = results[key]["true"][gained] - first_true[gained]
            best = next((row for row in gained[np.argsort(-gain, kind="stable")] if row not in taken), None)
            if best is not None:
                taken.add(best)
                shown = {"clean": self.corrupted.clean(best), "changed": self.corrupted.images(name, level)[[best]][0]}
                named = {"label": labels[best], "first": first[best], "second": second[best]}
                cells.append({"corruption": name, "severity": level, **shown, **named})
        return cells


_measured: dict[str, dict[tuple, Callable[[], measure.Outcome]]] = {}  # of this process, by digest; the newest alone


def measure_unit(
    output: Path, *, params: dict[str, Any], generation: str | None, digest: str, scope: dict[str, Any], unit: int
) -> dict[str, int]:
    """Write the outcome of one corruption, sequence or attack as `.npz`; what an executor does for each.

    Args:
        digest: of all that outcomes depend on: with the same one a worker keeps the model that it has.
        unit: its place among the units of `_Measurement`.
    """
    if digest not in _measured:
        _measured.clear()
        measurement = _Measurement(check(params), Model(generation), 0.0, _Scope(**scope))
        _measured[digest] = measurement.units(measurement.subject())
    outcome = list(_measured[digest].values())[unit]()
    with open(output, "wb") as file:
        np.savez(file, allow_pickle=False, **outcome)
        file.flush()
        os.fsync(file.fileno())
    return {}


MEASURE = f"{__name__}:{measure_unit.__name__}"


def _attack_rows(summary):
    """The accuracies under attack as a table."""
    return [
        {"attack": kind, "epsilon": epsilon, "accuracy": summary[f"{kind}_accuracy"][str(epsilon)]}
        for kind, epsilon in product(("fgsm", "pgd"), severities.EPSILONS)
    ]
