"""The benchmarks themselves are run by hand; here only that what they name is there."""

import importlib.util
import json
import shutil
import sys
from argparse import Namespace

import pytest

from benchmarks import __main__ as bench
from benchmarks import gpu, predict, reaching
from benchmarks.__main__ import REPORT, SECTIONS
from benchmarks.goal import Reached, watched
from benchmarks.harness import Result, machine
from benchmarks.report import MACHINE, parse
from benchmarks.stages import SCRIPTS
from support import ROOT


@pytest.mark.parametrize("module", [*(f"benchmarks.{name}" for name in SECTIONS), *SCRIPTS])
def test_what_is_run_is_there(module):
    assert importlib.util.find_spec(module)


def test_every_table_of_the_report_has_its_benchmark():
    text = (ROOT / REPORT).read_text(encoding="utf-8")
    assert {line[5:-4] for line in text.splitlines() if line.startswith("<!-- ")} <= {*SECTIONS}


def test_the_line_about_the_machine_names_cpu_instructions_cores_and_day():
    found = MACHINE.match(machine("numpy"))
    assert found
    assert " cores" in found[1]
    assert found[1] in machine("pillow")  # the same whatever packages are named


def test_every_section_of_the_report_says_on_which_cpu_and_when():
    sections = parse((ROOT / REPORT).read_text(encoding="utf-8"))
    assert len(sections) > 10
    assert [name for name, section in sections.items() if not section.tables] == []


def test_predict_is_compared_like_with_like_and_with_what_did_run():
    rates = {predict.OURS: (70, 90, 80), predict.BARE: (100,), predict.SINGLY: ()}
    rates |= dict(zip(predict.EXPORTS.values(), ((50,), (160,)), strict=True))
    rates |= dict(zip(predict.BY_EXPORT.values(), ((120,), ()), strict=True))
    rows = predict.ratios([Result(name, each) for name, each in rates.items()]).splitlines()
    assert [row.split(" | ")[2] for row in rows[2:]] == ["0.80", "not run", "0.75", "1.50"]


OLD = """<!-- training -->
## Training step

as it was

**Intel Xeon (amx_bf16, avx512_bf16), 2 cores**, 2026-12-24; Python 3.11.7

### 32 pixels

| ours | 809 |

**AMD EPYC (avx2), 2 cores**, 2026-11-20; Python 3.11.7

| ours | 100 |
"""
NEW = """## Training step

as it is

**AMD EPYC (avx2), 2 cores**, 2027-01-02; Python 3.12.1

| ours | 120 |

note
"""
OTHER = NEW.replace("avx2", "avx512f").replace("120", "300")


def test_a_new_table_takes_the_place_of_the_same_cpus_and_those_of_others_stay():
    both = parse(OLD)["training"].renewed(NEW)
    assert str(both) == OLD.partition("\n")[2].strip().replace("as it was", "as it is").partition("**AMD")[0] + (
        "**AMD EPYC (avx2), 2 cores**, 2027-01-02; Python 3.12.1\n\n| ours | 120 |\n\nnote"
    )
    three = both.renewed(OTHER)
    assert [line for line in str(three).splitlines() if line.startswith("| ours")] == [
        "| ours | 809 |",
        "| ours | 120 |",
        "| ours | 300 |",
    ]
    assert str(three.renewed(OTHER)) == str(three)


def test_make_bench_keeps_other_cpus_tables_and_other_sections(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / REPORT).write_text("# Head\n\n" + OLD + "\n<!-- stores -->\n## Stores\n\nas they were\n")
    (tmp_path / "benchmarks/training.py").write_text(f"print({NEW!r})")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "training"])
    bench.main()
    written = (tmp_path / REPORT).read_text()
    assert ["809" in written, "| ours | 100 |" in written, "| ours | 120 |" in written] == [True, False, True]
    assert "as they were" in written
    assert parse(written)["training"].tables.keys() == parse(OLD)["training"].tables.keys()


def test_what_was_begun_with_other_options_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    given = {"out": str(tmp_path / "new"), "sha256": "a", "goal": 0.94, "epochs": 30, "peak": None, "tiny": False}
    gpu.check_options(Namespace(**given, minutes=8))
    gpu.check_options(Namespace(**given, minutes=1))  # the time limit may be another
    with pytest.raises(SystemExit, match=r"was begun with --goal 0.94, now 0.9; --epochs 30, now 5\. Give another"):
        gpu.check_options(Namespace(**given | {"goal": 0.9, "epochs": 5}))
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false")
    with pytest.raises(SystemExit, match=r"was begun with XLA_FLAGS , now --xla_gpu_deterministic_ops=false\. Give"):
        gpu.check_options(Namespace(**given, minutes=8))


def test_what_a_stopped_utilisation_has_measured_counts():
    result = {}
    next(gpu.utilisation(Namespace(tiny=True, peak=1.0), result))
    assert result["best"] == result["batches"]["8"]
    assert result["best"]["utilisation"] == pytest.approx(result["best"]["tflops"])
    assert result["best"]["tflops"] == pytest.approx(
        result["best"]["images_per_second"] * result["flops_an_image"] / 1e12
    )


def test_steps_whose_share_of_the_time_was_too_short_are_gone_on_with(tmp_path, monkeypatch):
    """The first call of each step ends unfinished, labelling fails; the second one ends what can be ended."""
    called = []

    def limited(command, folder, seconds):
        step = command[-1]
        called.append(step)
        complete = called.count(step) == 2
        (tmp_path / f"{step}.json").write_text(json.dumps({"complete": complete, "flags": {"XLA_FLAGS": "x"}}))
        return 1 if step == "labelling" else 0

    monkeypatch.setattr(gpu, "_limited", limited)
    monkeypatch.setattr(gpu, "_workspace", lambda options, step: tmp_path)
    options = Namespace(minutes=1, out=str(tmp_path), cifar10=None, given=[], tiny=True)
    assert not gpu.measure(options)
    assert called == ["utilisation", "labelling", "utilisation"]
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert (found["utilisation"]["complete"], found["labelling"]["failed"]) == (True, 1)
    assert found["cifar10"]["left_out"] == "no --cifar10"
    assert found["utilisation"]["flags"] == {"XLA_FLAGS": "x"}
    assert "flags" not in found


def test_the_way_to_an_accuracy_leads_over_all_generations_that_learn_from_pseudo_labels(tmp_path):
    """Not over noise alone, which stands beside them."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    keys = ("gen1", "gen2", "gen3")
    expected = [f"{stage} {key}" for key in keys for stage in ("pseudolabel", "balance", "student")]
    assert reaching.stages(tmp_path) == ["teacher", *expected]


def test_a_watched_training_tells_every_validation_and_ends_where_it_is_told_to(monkeypatch):
    from noisy_student.training import train

    def validate(accuracy):
        return {"validation_accuracy": accuracy}

    def seen(accuracy):
        told.append(accuracy)
        if accuracy >= 0.5:
            raise Reached

    def training():
        with watched(seen):
            for accuracy in (0.2, 0.4, 0.5, 0.9):
                train.validate(accuracy)

    told = []
    monkeypatch.setattr(train, "validate", validate)
    with pytest.raises(Reached):
        training()
    assert told == [0.2, 0.4, 0.5]
    assert train.validate is validate
