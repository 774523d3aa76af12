"""What a GPU makes of this: model-FLOP utilisation, labelling, seconds to 94 % on CIFAR-10, then self-training on it.

bash benchmarks/gpu.sh --cifar10 DIR --minutes 8    # on JAX, without DVC and TensorFlow; writes gpu-results/gpu.json
bash benchmarks/gpu.sh                              # without images: utilisation and labelling only

Run again with the same --out it goes on where the time was over.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.goal import Reached, watched
from noisy_student.runtime import console
from noisy_student.runtime.files import write_json
from noisy_student.sources.adapters.cifar10 import NAME, SHA256

ROOT = Path(__file__).parents[1]
CODE = ("benchmarks", "commands", "noisy_student", "presets", "stages", "data/pools", "dvc.yaml", "params.yaml")
STEPS = {"utilisation": 0.25, "labelling": 0.1, "cifar10": 1.0, "cifar10-4k": 1.0}  # at most so much of the time left
OF_IMAGES = ("cifar10", "cifar10-4k")  # what needs CIFAR-10
FLAGS = ("XLA_FLAGS", "JAX_PLATFORMS")  # variables that change what is measured
GRACE = 30  # seconds in which a step that is stopped saves what it has done
# Dense bfloat16 TFLOP/s by vendors' data sheets; the first name that the device's contains.
PEAKS = {"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312}
TINY_NETWORK = {"name": "resnet", "depth": 8, "width": 4}
TINY = {  # a rehearsal: everything runs, no figure means anything
    **{f"{role}.model": TINY_NETWORK for role in ("teacher", "student")},
    **{f"{role}.epochs": None for role in ("teacher", "student")},
    **{f"{role}.steps": 4 for role in ("teacher", "student")},
    **{f"{role}.validate_every": 2 for role in ("teacher", "student")},
    **{f"{role}.batch_size": 8 for role in ("teacher", "student")},
    "data.labelled": 60,
    "data.validation": 20,
    "pseudolabel.threshold": 0.0,
    "balance.on_empty": "skip",
}


def peak(device, given=None):
    """The device's dense bfloat16 TFLOP/s, as given or by its name; None: not known."""
    return given or next((number for name, number in PEAKS.items() if name.lower() in device.lower()), None)


def utilisation(options, result):
    """Training steps of the article's ResNet-50 on a constant batch.

    Model FLOPs are 3 x 2 x the MACs of a forward pass, nothing computed twice counted twice (Chowdhery et al. 2022,
    arXiv:2204.02311, appendix B).
    """
    import keras
    import numpy as np

    from commands import preset as presets
    from noisy_student import backends
    from noisy_student.models.build import build
    from noisy_student.models.summary import macs
    from noisy_student.settings.params import check
    from noisy_student.settings.schema import ModelParams
    from noisy_student.training.train import compile_for_training

    steps, sizes = (2, (8,)) if options.tiny else (20, (256, 512, 1024))
    own = ModelParams(**TINY_NETWORK if options.tiny else {"name": "article_resnet50"})
    precision = backends.resolve_precision("auto")
    training = check(presets.parameters("cifar10-article")).teacher
    flops = 6 * macs(build(own, mode="inference", classes=10, image_size=32))
    device = backends.current().describe_devices()[0]
    most = peak(device, options.peak)
    result |= {"precision": precision, "flops_an_image": flops, "device": device, "peak_tflops": most}
    done = result.setdefault("batches", {})

    class Constant(keras.utils.PyDataset):
        def __init__(self, size):
            super().__init__()
            rng = np.random.default_rng(0)
            images = rng.integers(0, 256, (size, 32, 32, 3), np.uint8)
            self.batch = images, np.eye(10, dtype=np.float32)[rng.integers(0, 10, size)]

        def __len__(self):
            return steps

        def __getitem__(self, index):
            return self.batch

    def timed(size):
        model = build(own, mode="train", classes=10, image_size=32, precision=precision)
        compile_for_training(model, training, rate=0.001, round_steps=steps)
        seconds = []
        for _ in range(4):  # the first compiles
            began = time.perf_counter()
            model.fit(Constant(size), verbose=0, shuffle=False)
            seconds.append(time.perf_counter() - began)
        return seconds

    for size in sizes:
        if str(size) in done:  # by an earlier call
            continue
        try:
            seconds = timed(size)
        except Exception as error:
            if not done:
                raise
            result["stopped_at"] = f"batch {size}: {str(error)[:300]}"  # too large for the memory, as a rule
            return
        rate = steps * size / statistics.median(seconds[1:])
        share = rate * flops / (most * 1e12) if most else None
        done[str(size)] = {"images_per_second": rate, "tflops": rate * flops / 1e12, "utilisation": share}
        result["best"] = max(done.values(), key=lambda measured: measured["tflops"])
        yield


def labelling(options, result):
    """Images a second of labelling with the network of cifar10-4k; the second of two passes, the first compiles."""
    import numpy as np

    from commands import preset as presets
    from noisy_student.inference.predict import Predictor
    from noisy_student.models.build import build
    from noisy_student.settings.params import check
    from noisy_student.settings.schema import ModelParams

    network = TINY_NETWORK if options.tiny else check(presets.parameters("cifar10-4k")).teacher.model.model_dump()
    model = build(ModelParams(**network), mode="inference", classes=10, image_size=32)
    images = np.random.default_rng(0).integers(0, 256, (100 if options.tiny else 50_000, 32, 32, 3), np.uint8)
    predict = Predictor(model)
    for _ in range(2):
        began = time.perf_counter()
        predict(images)
        seconds = time.perf_counter() - began
    result |= {"images": len(images), "batch_size": predict.size, "images_per_second": len(images) / seconds}
    yield


def cifar10(options, result):
    """Seconds of the teacher's training until it validates at the goal: compilation and validations count."""
    from noisy_student.settings import params
    from noisy_student.steps.training import train_teacher
    from stages import prepare

    if "prepared" not in result:
        prepare.main()
        result |= {"prepared": True, "goal": options.goal, "curve": [], "seconds": 0.0}
        yield
    before, began = result["seconds"], time.perf_counter()

    def seen(accuracy):
        result["curve"].append([before + time.perf_counter() - began, accuracy])
        result["seconds"] = result["curve"][-1][0]
        options.save()
        if accuracy >= options.goal:
            raise Reached

    result["reached"] = False
    try:
        with watched(seen):
            train_teacher(params.load())
    except Reached:
        result |= {"reached": True, "seconds_to_goal": result["curve"][-1][0]}
    finally:
        result["seconds"] = before + time.perf_counter() - began
    result["best"] = max(accuracy for _, accuracy in result["curve"]) if result["curve"] else None


def cifar10_4k(options, result):
    """The preset's pipeline: seconds of each stage, test accuracy of teacher and student."""
    from noisy_student.data.inputs import Inputs
    from noisy_student.inference import metrics
    from noisy_student.inference.predict import predict_probs
    from noisy_student.inference.saving import load
    from noisy_student.runtime.layout import TEACHER, Model
    from stages import balance, prepare, pseudolabel, student, teacher

    def tested(model):
        test = Inputs().test
        probs = predict_probs(load(model.path), test.images)
        result.setdefault("test_accuracy", {})[model.name] = metrics.accuracy(probs, test.labels)

    work = {
        "prepare": prepare.main,
        "teacher": teacher.main,
        "test of the teacher": lambda: tested(TEACHER),
        "pseudolabel": lambda: pseudolabel.main("gen1"),
        "balance": lambda: balance.main("gen1"),
        "student": lambda: student.main("gen1"),
        "test of the student": lambda: tested(Model("gen1")),
    }
    seconds, spent = result.setdefault("seconds", {}), result.setdefault("unfinished", {})
    for name, stage in work.items():
        if name in seconds:
            continue
        began = time.perf_counter()
        try:
            stage()
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
        seconds[name] = spent.pop(name)
        yield


WORK = {"utilisation": utilisation, "labelling": labelling, "cifar10": cifar10, "cifar10-4k": cifar10_4k}


def write_parameters(options, preset):
    """params.yaml of a preset, with what this measurement changes."""
    from commands import preset as presets
    from noisy_student.settings import params

    changes = {"backend": "jax", "data.root": str(Path(options.cifar10).resolve()), "data.sha256": options.sha256}
    changes |= {"checkpoint.every_minutes": 0.5, "eval.robustness": "off"}
    changes |= {"input_noise": "device"}  # on a CPU, too, where only a rehearsal runs: the host's engine needs Numba
    if (
        preset == "cifar10"
    ):  # there is no folder of further images, and a goal that is reached early needs no long schedule
        changes |= {"data.unlabelled_from": "data/pools/labelled", "teacher.epochs": options.epochs}
    tree = presets.parameters(preset)
    for key, value in (changes | (TINY if options.tiny else {})).items():
        *sections, last = key.split(".")
        inner = tree
        for section in sections:
            inner = inner[section]
        inner[last] = value
    params.check(tree)
    Path("params.yaml").write_text(presets.fresh(tree), encoding="utf-8")


def run_step(options):
    """Do one step in this process, in the working folder; what is done is written as it comes."""
    from noisy_student import backends
    from noisy_student.runtime import signals
    from noisy_student.runtime.errors import UserError

    target = Path(options.out).resolve() / f"{options.step}.json"
    result = json.loads(target.read_text()) if target.exists() else {}
    result["complete"] = False
    options.save = lambda: write_json(target, result)  # what is killed has written what it knew
    try:
        signals.raise_on_sigterm()
        backends.select("jax")
        result["flags"] = {name: os.environ.get(name, "") for name in FLAGS}  # as they are for this step
        for _ in WORK[options.step](options, result):
            options.save()
        result["complete"] = True
    except (signals.Stopped, KeyboardInterrupt):
        sys.exit(128 + signal.SIGTERM)
    except UserError as error:
        sys.exit(f"error: {error}")
    finally:
        options.save()


def _workspace(options, step):
    """A copy of the code in which a step runs, with its params.yaml."""
    folder = Path(options.out, "work", step if step in OF_IMAGES else "without-images")
    if not folder.exists():
        begun = folder.with_name(f"{folder.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        for name in CODE:
            source, target = ROOT / name, begun / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        if step in OF_IMAGES:
            with contextlib.chdir(begun):
                write_parameters(options, step)
        begun.rename(folder)
    return folder


def _limited(command, folder, seconds):
    """Run a step for so long at most: asked to stop it saves what it has."""
    process = subprocess.Popen(command, cwd=folder)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def measure(options):
    """Do what is left, step by step, until the time is over; return whether all is done."""
    deadline = time.monotonic() + 60 * options.minutes
    out = Path(options.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    done = {}
    # once more from the beginning: what a step's share of the time was too short for is gone on with in what is left
    for step, share in [*STEPS.items(), *((step, 1.0) for step in STEPS)]:
        if "failed" in done.get(step, {}):
            continue
        target, left = out / f"{step}.json", deadline - time.monotonic()
        done[step] = json.loads(target.read_text()) if target.exists() else {"complete": False}
        possible = bool(options.cifar10) or step not in OF_IMAGES
        if not possible:
            done[step]["left_out"] = "no --cifar10"
        if not done[step]["complete"] and left > 0 and possible:
            print(f"== {step}, {left:.0f} s are left", flush=True)
            command = [sys.executable, "-m", "benchmarks.gpu", *options.given, "--out", str(out), "--step", step]
            code = _limited(command, _workspace(options, step), share * left)
            done[step] = json.loads(target.read_text()) if target.exists() else {"complete": False}
            if code not in (0, 128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL):
                done[step] |= {"failed": code}
                print(f"{step} failed with status {code}; the next one goes on", file=sys.stderr)
        write_json(out / "gpu.json", _facts(options) | done)
    return all(result["complete"] or "left_out" in result for result in done.values())


def check_options(options):
    """What was begun in this folder is gone on with: its options must be the same.

    Raises:
        SystemExit: they are others.
    """
    path = Path(options.out, "options.json")
    given = {f"--{name}": getattr(options, name) for name in ("sha256", "goal", "epochs", "peak", "tiny")}
    given |= {name: os.environ.get(name, "") for name in FLAGS}
    begun = json.loads(path.read_text(encoding="utf-8")) if path.exists() else given
    others = [f"{name} {value}, now {given[name]}" for name, value in begun.items() if value != given.get(name)]
    if others:
        sys.exit(f"error: {options.out} was begun with {'; '.join(others)}. Give another --out, or those options.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, given)


def _facts(options):
    from noisy_student.runtime import environment

    return {"tiny": options.tiny, "versions": environment.versions(), "cpu": environment.cpu()["name"]}


def main():
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(
        prog="bash gpu.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar10", metavar="DIR", help=f"the folder of {NAME}; without it only what needs no images")
    parser.add_argument("--sha256", default=SHA256, help="of that archive; default: the official one's")
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit; default: 8")
    parser.add_argument("--out", default="gpu-results", metavar="DIR", help="default: gpu-results")
    parser.add_argument(
        "--peak", type=float, metavar="TFLOPS", help="dense bfloat16, of a device that is not known here"
    )
    parser.add_argument("--goal", type=float, default=0.94, help="validation accuracy; default: 0.94")
    parser.add_argument("--epochs", type=int, default=30, help="of the training towards it; default: 30")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal in a minute, whose figures mean nothing")
    parser.add_argument("--step", choices=WORK, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cifar10:
        if not Path(options.cifar10, NAME).is_file():
            parser.error(f"{options.cifar10}: there is no {NAME}. Copy the binary version of CIFAR-10 there.")
        options.cifar10 = str(Path(options.cifar10).resolve())
    if options.step:
        run_step(options)
        return
    options.given = ["--sha256", options.sha256, "--goal", str(options.goal)]
    options.given += ["--cifar10", options.cifar10] if options.cifar10 else []
    options.given += ["--peak", str(options.peak)] if options.peak else []
    options.given += ["--tiny"] if options.tiny else []
    check_options(options)
    complete = measure(options)
    print(Path(options.out, "gpu.json").read_text(encoding="utf-8"))
    if not complete:
        print("Not all is done: the same command goes on.", file=sys.stderr)


if __name__ == "__main__":
    console.use_utf8()
    main()
