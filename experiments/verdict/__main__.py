"""Say whether self-training pays on the images of params.yaml.

python -m experiments.verdict               # three seeds; the same as `make verdict`
python -m experiments.verdict --seeds 5     # two more: what is done is not run again
python -m experiments.verdict --jobs 2      # two runs at a time

Trains the teacher, the students up to the last one that learns from pseudo-labels, and one with noise alone: labels
only, for as many images as the others see together. All else is as params.yaml says, but for robustness and extra test
sets, which are left out. Runs are DVC experiments in a clone below .dvc/tmp; the workspace stays as it is. Rows and
picture lie in metrics/verdict, which git ignores; stopped or killed, the same command goes on.
"""

import argparse
import sys

import numpy as np

from commands import at_least_one, new_parser
from experiments.study import rows
from experiments.study.clones import WORK
from experiments.study.definition import results_of
from experiments.study.run import Job, Runner, pending, report_failures
from experiments.study.wording import duration
from experiments.verdict.answer import outside_sentence, picture, sentence
from experiments.verdict.measured import facts_of
from experiments.verdict.plan import ARMS, STUDY, Plan, plan
from noisy_student.drawing.canvas import save_chart
from noisy_student.runtime import console, locks, signals
from noisy_student.runtime.errors import UserError
from noisy_student.settings import params
from noisy_student.steps.checking import check, check_project

RUN = 60  # seconds for starting stages and measuring models ...
SECONDS = 2e-4  # ... and for an image in training, on two cores: ResNet-8 of width 16 at 16 pixels
PIXELS = 16 * 16
LACKING = (
    "The teacher started from pretrained weights; noise alone, another network, could not: part of it may be theirs.\n"
)


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("experiments.verdict", __doc__)
    own.add_argument(
        "--seeds", type=at_least_one, default=3, metavar="N", help="below three there is no verdict; default: 3"
    )
    own.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help="runs at a time; default: 1")
    return own


def main() -> None:
    """Run what is missing, and answer."""
    arguments = parser().parse_args()
    signals.raise_on_sigterm()
    try:
        values = params.read_yaml("params.yaml")
        check_project(values)
        planned = plan(values)
        jobs = planned.jobs(arguments.seeds)
        _say(_told(planned))
        run(planned, jobs, at_a_time=arguments.jobs)
        answer(planned, jobs)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as interrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        sys.exit(128 + signals.number_of(interrupt))


def run(planned: Plan, jobs: list[Job], *, at_a_time: int) -> None:
    """Run jobs that have no row yet; tell before how long it may take.

    Raises:
        UserError: a run failed, or a study is running.
    """
    missing = pending(jobs)
    runs = len({job.experiment for job in missing})
    _say(f"{runs} of {len({job.experiment for job in jobs})} runs are missing")
    if not missing:
        return
    _say(f"{_time(planned, runs, at_a_time)}; stop with Ctrl-C at any time, the same command goes on")
    lock = locks.held(WORK / "lock", what="experiments.verdict", wait=False)
    try:
        with lock:
            failed = Runner(at_a_time, say=_say).run(missing)
    except BlockingIOError:
        raise UserError("a study or a verdict is running in this folder already. Wait until it ends.") from None
    if failed:
        report_failures(list({job.experiment: (job, log) for job, log in failed}.values()))
        raise UserError(
            f"{len({job.experiment for job, _ in failed})} runs failed, see above; the same command tries again"
        )


def answer(planned: Plan, jobs: list[Job]) -> None:
    """Print the sentences, and draw the picture."""
    measured = rows.read(STUDY, planned.preset)
    seeds = sorted({job.seed for job in jobs})
    accuracies = {arm: np.array([measured[arm, seed]["accuracy"] for seed in seeds]) for arm in ARMS}
    runs = list({job.experiment: job for job in jobs}.values())
    facts = facts_of(planned, runs)
    said = sentence(accuracies, labels=facts[0].labels)
    path = results_of(planned.preset) / "verdict.png"
    save_chart(path, picture(accuracies, said))
    print()
    for arm, values in accuracies.items():
        print(f"{arm:8} " + "  ".join(f"{100 * value:.2f} %" for value in values))
    estimates = [one.outside for one in facts if one.outside]
    print(f"\n{said}.\n{LACKING if planned.lacks else ''}{outside_sentence(estimates)}.\n\n{path}")


def _told(planned):
    control = check(planned.parameters).generation(planned.control).student
    models = ["teacher", *(f"student-{key}" for key in planned.chain)]
    start, seen = ("from the teacher's weights, ", "the students") if planned.inherits else ("", "all of them")
    return (
        f"{', '.join(models)}; noise alone: {start}{control.steps:,} steps of {control.batch_size:,} labelled images, "
        f"as many images as {seen} see"
    )


def _time(planned, runs, at_a_time):
    """An estimate, by images, pixels and a small network; the first run says more."""
    pixels = planned.parameters["data"]["image_size"] ** 2
    seconds = runs / at_a_time * (RUN + planned.images * SECONDS * pixels / PIXELS)
    return f"about {duration(seconds)}, if networks are as small as the digits'; the first run will tell it better"


def _say(line):
    print(line, flush=True)


if __name__ == "__main__":
    console.use_utf8()
    main()
