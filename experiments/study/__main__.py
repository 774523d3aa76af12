"""Answer a question by experiments: several arms, several seeds, a control.

python -m experiments.study list                         # what each asks, and what is missing of its rows
python -m experiments.study pilot article                # a few other seeds: how many does the study need?
python -m experiments.study run article                  # what is missing of its rows, then the report
python -m experiments.study run controls noise --jobs 2  # two experiments at a time
python -m experiments.study run article --preset cifar10-cpu --seeds 3 -S data.root=/images/cifar-10
python -m experiments.study report article               # from the rows, nothing is run

Every arm and seed is an ordinary DVC experiment, run in a clone below .dvc/tmp; `seed` and `data.seed` are
set, so that weights, noise and the choice of images all change. What is done stands in
docs/studies/PRESET/NAME.csv and is not run again; a study that was stopped or killed goes on where it was.
"""

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands import STATUS, at_least_one, new_parser
from commands import preset as presets
from experiments.study import definition, pilot, plan, report, run
from experiments.study.clones import WORK
from noisy_student.runtime import console, locks, signals
from noisy_student.runtime.errors import UserError

_COMMANDS = {
    "run": "run what is missing, then report",
    "pilot": "run a few other seeds, say how many the study needs",
    "report": "write the report anew",
}


def parser() -> argparse.ArgumentParser:
    """That of this command, and of each of its four."""
    own = new_parser("experiments.study", __doc__)
    commands = own.add_subparsers(dest="command", required=True, title="commands", metavar="COMMAND")
    listing = _command(commands, "list", "list the studies, and what is missing of each", aliases=["plan"])
    listing.add_argument("--preset", default="digits", metavar="NAME", help="a file of presets/; default: digits")
    for name, text in _COMMANDS.items():
        command = _command(commands, name, text)
        command.add_argument("studies", nargs="+", metavar="NAME", help="files of studies/, or all")
        command.add_argument("--preset", default="digits", metavar="NAME", help="a file of presets/; default: digits")
        first, asked = (pilot.FIRST_SEED, pilot.SEEDS) if name == "pilot" else (0, "as the study says")
        seeds = f"how many, from {first} on; default: {asked}"
        command.add_argument("--seeds", type=at_least_one, metavar="N", help=seeds)
        if name != "report":
            jobs = "experiments at a time; default: 1"
            command.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help=jobs)
            command.add_argument(
                "-S", action="append", default=[], dest="changes", metavar="KEY=VALUE", help="a parameter, as for DVC"
            )
    return own


def _command(commands, name, text, **options):
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=STATUS, **options)


def main() -> None:
    """Run or report the studies of the command line."""
    arguments = parser().parse_args()
    signals.raise_on_sigterm()
    _let_experiments_be_stopped()
    try:
        presets.parameters(arguments.preset)  # there is one
        if arguments.command in ("list", "plan"):
            print("\n".join(plan.lines(arguments.preset)))
            return
        if arguments.studies == ["all"]:
            studies = definition.studies_for(arguments.preset)
        else:
            studies = {name: definition.load(name) for name in arguments.studies}
        if arguments.command == "report":
            _report(studies, arguments)
            return
        (_pilot if arguments.command == "pilot" else _run)(studies, arguments)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as interrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        sys.exit(128 + signals.number_of(interrupt))


def _let_experiments_be_stopped():
    """Where Ctrl-C is ignored (`nohup ... &`), go on ignoring it, but without passing that on to DVC."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)  # a handler of ours ends where DVC begins


def _report(studies, arguments):
    """Report all that can be; the others' faults end the call."""
    faults = []
    for name, study in studies.items():
        try:
            print(report.write(name, study, arguments.preset, seeds=arguments.seeds))
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))


def _run(studies, arguments):
    changes, preset = _changes(arguments.changes), arguments.preset
    jobs = {
        name: run.jobs_of(name, study, preset, seeds=arguments.seeds or study.seeds_with(preset), changes=changes)
        for name, study in studies.items()
    }

    def write_report(name):
        try:
            _say(report.write(name, studies[name], preset))
        except UserError as error:  # every run of the control has failed
            _say(f"{name}: no report. {error}")
        except Exception as error:  # the other studies shall go on
            _say(f"{name}: the report failed, {error!r}. Mend that, then: experiments.study report {name}")

    _run_missing(jobs, arguments.jobs, write_report)


def _pilot(studies, arguments):
    changes, preset = _changes(arguments.changes), arguments.preset
    count, first = arguments.seeds or pilot.SEEDS, pilot.FIRST_SEED
    jobs = {
        (rows := pilot.rows_name(name)): run.jobs_of(rows, study, preset, seeds=count, first=first, changes=changes)
        for name, study in studies.items()
    }
    _run_missing(jobs, arguments.jobs, lambda rows: None)
    for name, study in studies.items():
        _say("\n".join(pilot.lines(name, study, preset)))


def _run_missing(jobs, at_a_time, complete):
    """Run the jobs without rows of {study: jobs}; `complete` is called with each study that has all of them."""
    missing = {name: run.pending(of_study) for name, of_study in jobs.items()}
    runner = run.Runner(at_a_time, say=_say)
    with contextlib.ExitStack() as stack:
        lock = locks.held(WORK / "lock", what="experiments.study", wait=False)
        try:
            stack.enter_context(lock)
        except BlockingIOError:
            raise UserError("a study is running in this folder already. Wait until it ends.") from None
        for name, of_study in missing.items():
            _say(f"{name}: {len(of_study)} of {len(jobs[name])} runs are missing")
            if not of_study:
                complete(name)
        failed = runner.run([job for of_study in missing.values() for job in of_study], complete=complete)
    if failed:
        run.report_failures(failed)
        sys.exit(f"error: {len(failed)} runs failed, see above; the same command tries them again")


def _say(line):
    print(line, flush=True)


def _changes(texts):
    """{dotted name: value} of "KEY=VALUE" texts; values are YAML.

    Raises:
        UserError: a text has no "=", or its value is not YAML.
    """
    changes = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"-S {text}: write KEY=VALUE, such as data.root={Path('/images')}")
        try:
            changes[key.lstrip("+")] = YAML(typ="safe", pure=True).load(value)
        except YAMLError:
            raise UserError(f"-S {text}: {value!r} is not YAML; put it into quotes") from None
    return changes


if __name__ == "__main__":
    console.use_utf8()
    main()
